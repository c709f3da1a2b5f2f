"""One specimen meets the battery: the wrong one has to be caught, its corrected twin to pass."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import specimens
from tests.specimens import Specimen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[1]
# One specimen's whole battery; a check bounds its own time.
AT_MOST_SECONDS = 900
# A check takes a second or two. What waits for longer waits for what a wrong binding never gives back.
CHECK_SECONDS = 12

# Of one run: backend -> check id -> outcome.
Outcomes = dict[str, dict[str, str]]


@dataclass
class Meeting:
    """What came of one specimen."""

    name: str
    specimen: Specimen
    wrong: Outcomes = field(default_factory=dict)
    corrected: Outcomes = field(default_factory=dict)
    evidence: dict[str, dict[str, str]] = field(default_factory=dict)
    """Why each of its own checks failed on the wrong one: backend -> check id -> a line."""
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def caught_by(self) -> dict[str, list[str]]:
        """The checks that failed on the wrong one, by backend."""
        return {
            backend: sorted(check for check, outcome in checks.items() if outcome == "failed")
            for backend, checks in self.wrong.items()
        }

    def judge(self) -> None:
        """Complain where a named check passed the wrong one, or failed the corrected one."""
        for backend in self.specimen.backends:
            for check in self.specimen.caught_by:
                outcome = self.wrong.get(backend, {}).get(check, "missing")
                if outcome not in {"failed", "not applicable"}:
                    self.complaints.append(f"{check} on {backend}: {outcome}, should have failed")
                outcome = self.corrected.get(backend, {}).get(check, "missing")
                if outcome not in {"passed", "not applicable"}:
                    self.complaints.append(f"{check} on {backend}: {outcome} on the corrected twin")
        for check in self.specimen.caught_by:
            if not any(
                self.wrong.get(backend, {}).get(check) == "failed" for backend in self.specimen.backends
            ):
                self.complaints.append(f"{check} caught it on no backend")


def find(names: Iterable[str]) -> list[Meeting]:
    """The specimens of these names, or all there are."""
    found = [module.name for module in pkgutil.iter_modules(specimens.__path__)]
    if unknown := set(names) - set(found):
        sys.exit(f"No such specimen: {', '.join(sorted(unknown))}. Choose from: {', '.join(found)}.")
    return [Meeting(name, Specimen(**fields)) for name, fields in _declared(sorted(names or found)).items()]


def _declared(names: list[str]) -> dict[str, dict[str, Any]]:
    """What the modules say of themselves, read in another process: some make an engine on import."""
    code = (
        "import dataclasses, importlib, json, sys\n"
        "found = {name: importlib.import_module(f'tests.specimens.{name}') for name in sys.argv[1:]}\n"
        "print(json.dumps({name: dataclasses.asdict(module.SPECIMEN)"
        " for name, module in found.items() if hasattr(module, 'SPECIMEN')}))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *names],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URI": "sqlite://"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    told: dict[str, dict[str, Any]] = json.loads(answer.stdout)
    return {
        name: {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        for name, fields in told.items()
    }


def lean(environment: Mapping[str, str], directory: str) -> dict[str, str]:
    """What makes a start of pytest, and a log-in, cheap: there are hundreds of them."""
    return {
        **{name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"},
        # Each module is compiled once, and not into the tree.
        "PYTHONPYCACHEPREFIX": directory,
        # PyMySQL reads all authorities that the system trusts at each log-in, and asks none of them.
        "SSL_CERT_FILE": os.devnull,
        "SSL_CERT_DIR": directory,
    }


def battery(
    meeting: Meeting, options: list[str], environment: Mapping[str, str], *, corrected: bool
) -> Outcomes:
    """Run checks on the specimen in a process of its own, and return what came of each."""
    subject = f"tests.specimens.{meeting.name}"
    with tempfile.TemporaryDirectory() as directory:
        matrix = Path(directory, "matrix.json")
        command = [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "flask_sqlalchemy_testbed.plugin.plugin",
                "flask_sqlalchemy_testbed/battery",
                "-q",
                "--tb=no",
            ),
            *("-p", "tests.lent", "-p", "no:cacheprovider", "-W", "default", "-o", "testbed_promises=false"),
            *("--testbed-check-timeout", str(CHECK_SECONDS), "--testbed-matrix", str(matrix)),
            *("--testbed-app", f"{subject}:create_app", "--testbed-session", f"{subject}:session", *options),
        ]
        if meeting.specimen.uri_env:
            command += ["--testbed-uri-env", meeting.specimen.uri_env]
        if any(check.startswith("promises.") for check in meeting.specimen.caught_by):
            command.append("--testbed-promises")
        try:
            run = subprocess.run(
                command,
                cwd=ROOT,
                # No plugin but those that are named.
                env={
                    **environment,
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    **({"SPECIMEN_CORRECTED": "1"} if corrected else {}),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=AT_MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            meeting.complaints.append(f"the battery had not ended after {AT_MOST_SECONDS} s")
            return {}
        if not matrix.exists():
            meeting.complaints.append(f"the battery did not run: {run.stdout.strip()[-500:]}")
            return {}
        outcomes: Outcomes = {}
        for row in json.loads(matrix.read_text(encoding="utf-8"))["checks"]:
            for backend, outcome in row["results"].items():
                outcomes.setdefault(backend, {})[row["id"]] = outcome
                if outcome == "failed" and not corrected and row["id"] in meeting.specimen.caught_by:
                    meeting.evidence.setdefault(backend, {})[row["id"]] = row["reasons"].get(backend, "")
        return outcomes


def meet(
    meeting: Meeting, backends: str, environment: Mapping[str, str], everywhere: Iterable[str]
) -> Meeting:
    """Put one specimen through its own checks and these, and its corrected twin through its own."""
    began = time.monotonic()
    named = meeting.specimen.caught_by
    options = ["--testbed-backend", backends]
    both = dict.fromkeys([*named, *everywhere])
    meeting.wrong = battery(meeting, [*options, *_only(both)], environment, corrected=False)
    meeting.corrected = battery(meeting, [*options, *_only(named)], environment, corrected=True)
    meeting.judge()
    meeting.seconds = round(time.monotonic() - began, 1)
    return meeting


def _only(checks: Iterable[str]) -> list[str]:
    return [word for check in checks for word in ("--testbed-check", check)]
