"""Run the battery on one subject as a user does: by the command, in its environment."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .environments import run as run_command
from .subjects import Subject

# The usual time limit of the whole battery on all backends; each check has its own limit.
SECONDS = 900
# The reason begins with one of these if the check passed and the harness found a leak after it.
LEFT_OPEN = ("teardown: Failed: left open", "teardown: Failed: left in")

# check -> backend -> text.
Table = dict[str, dict[str, str]]


class BatteryError(Exception):
    """The battery did not start or did not end; the message holds its output."""


def run(subject: Subject, python: Path, backends: Sequence[str], seconds: float = SECONDS) -> dict[str, Any]:
    """Run every check, and return the parts of the matrix that the page shows.

    Args:
        subject: the folder to test.
        python: the Python of the subject's environment.
        backends: the names of the backends.
        seconds: the time limit.

    Raises:
        BatteryError: the battery wrote no matrix.
    """
    with tempfile.TemporaryDirectory() as directory:
        folder, matrix = Path(directory, "subject"), Path(directory, "matrix.json")
        subject.copy_files(folder)
        options = ["--backend", ",".join(backends), "--matrix", str(matrix), "--report", "", *subject.options]
        command = [str(python), "-m", "flask_sqlalchemy_testbed", *options]
        try:
            output = run_command(command, folder, seconds, **subject.variables)
        except subprocess.TimeoutExpired as error:
            message = f"The battery did not end within {seconds:g} s."
            raise BatteryError(message) from error
        if not matrix.exists():
            # A message of the testbed is at the beginning, a traceback at the end.
            message = f"The battery did not run:\n{output[:2000]}\n...\n{output[-2000:]}"
            raise BatteryError(message)
        return read(json.loads(matrix.read_text(encoding="utf-8")))


def read(matrix: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of a matrix that the page shows."""
    rows = matrix["checks"]
    return {
        "servers": {name: server["version"] for name, server in matrix["servers"].items()},
        "claims": {row["id"]: row["claim"] for row in rows},
        "remedies": {row["id"]: row["remedy"] for row in rows},
        "outcomes": {row["id"]: {on: outcome(row, on) for on in row["results"]} for row in rows},
        "reasons": {row["id"]: row["reasons"] for row in rows},
    }


def outcome(row: dict[str, Any], backend: str) -> str:
    """Return the outcome of a check on a backend.

    It is "left open" if the check itself passed, and failed only for a session that was open after it.
    """
    found = str(row["results"][backend])
    reasons = row["reasons"].get(backend, "").splitlines()
    only_left_open = bool(reasons) and all(reason.startswith(LEFT_OPEN) for reason in reasons)
    return "left open" if found == "failed" and only_left_open else found
