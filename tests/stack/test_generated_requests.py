"""No response to a generated request is a 5xx, and all match the OpenAPI document."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.stack.stack import BACKENDS, Stack

EXAMPLES = 50
SEED = 20100227
SECONDS = 300

# Most generated accounts do not exist; real ones make transfers that are accepted, refused and repeated.
SETTINGS = """
[dictionaries.accounts]
values = {accounts}

[parameters]
account_id = {{ dictionary = "accounts", probability = 0.3 }}
"body.from_account_id" = {{ dictionary = "accounts", probability = 0.8 }}
"body.to_account_id" = {{ dictionary = "accounts", probability = 0.8 }}

[checks.positive_data_acceptance]
expected-statuses = [200, 201, 404, 409, 422]
"""


@pytest.fixture(scope="module")
def reports(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Test all backends in parallel, and return the report of each."""
    folder = tmp_path_factory.mktemp("schemathesis")
    with ThreadPoolExecutor(len(BACKENDS)) as threads:
        found = threads.map(lambda backend: run_schemathesis(stack, backend, folder), BACKENDS)
        return dict(zip(BACKENDS, found, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_response_matches_the_document(reports: dict[str, dict[str, Any]], backend: str) -> None:
    report = reports[backend]

    assert report["failures"] == []
    assert report["errors"] == []
    assert report["exit_code"] == 0
    assert report["complete"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_operation_is_requested_and_some_transfers_are_made(
    reports: dict[str, dict[str, Any]], backend: str
) -> None:
    report = reports[backend]
    accepted = report["valid_rates"]["POST /api/transfers"].values()

    assert report["operations"]["tested"] == report["operations"]["total"] > 0
    assert report["phases"]["stateful"]["status"] == "success"
    assert sum(phase["accepted"] for phase in accepted) > 0


def run_schemathesis(stack: Stack, backend: str, folder: Path) -> dict[str, Any]:
    accounts = [stack.open_account(backend, "900000000000") for _ in range(3)]
    settings, report = folder / f"{backend}.toml", folder / f"{backend}.json"
    settings.write_text(SETTINGS.format(accounts=accounts), encoding="utf-8")
    document = f"http://127.0.0.1:{stack.ports['app']}/{backend}/openapi.json"
    options = {
        "--max-examples": EXAMPLES,
        "--seed": SEED,
        "--workers": 1,
        "--request-timeout": 20,
        "--generation-database": "none",
        "--report": "json",
        "--report-json-path": report,
    }
    words = [str(word) for option in options.items() for word in option]
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(settings),
        "run",
        document,
        *words,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert report.exists(), done.stdout + done.stderr
    print(done.stdout)
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return found
