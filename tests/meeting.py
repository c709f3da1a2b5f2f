"""Run the battery on specimens.

The checks of a specimen must fail on the wrong binding and pass on the corrected one. No check may fail on a
sound binding.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import prepared
from tests.specimens.bindings import Specimen
from tests.specimens.catalogue import SPECIMENS

ROOT = Path(__file__).parents[1]
SUBJECT = "tests.specimens.subject"
# For one run of the battery; each check has its own time limit.
RUN_SECONDS = 900
# A check takes one or two seconds; on a wrong binding some wait for a connection that never comes back.
WRONG_SECONDS = 12
# On a right binding each check ends by itself; a limit that a busy machine can miss would be a false alarm.
RIGHT_SECONDS = 90

# The outcomes of one run: backend -> check id -> outcome.
Outcomes = dict[str, dict[str, str]]
# A row of `matrix.json`.
Row = dict[str, Any]


class BatteryError(Exception):
    """The battery did not end, or did not begin; the message says why."""


@dataclass
class Meeting:
    """The results of one specimen."""

    name: str
    specimen: Specimen
    wrong: Outcomes = field(default_factory=dict)
    corrected: Outcomes = field(default_factory=dict)
    evidence: dict[str, dict[str, str]] = field(default_factory=dict)
    """Why each of its checks failed on the wrong binding: backend -> check id -> one line."""
    alarms: dict[tuple[str, str], str] = field(default_factory=dict)
    """Why checks failed on the corrected binding: (backend, check id) -> one line."""
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def caught_by(self) -> dict[str, list[str]]:
        """Return the checks that failed on the wrong binding, by backend."""
        return {
            backend: sorted(check for check, outcome in checks.items() if outcome == "failed")
            for backend, checks in self.wrong.items()
        }

    def judge(self) -> None:
        """Complain of each named check that passed the wrong binding or failed the corrected one."""
        for backend in self.specimen.backends:
            for check in self.specimen.caught_by:
                outcome = self.wrong.get(backend, {}).get(check, "missing")
                if outcome not in {"failed", "not applicable"}:
                    self.complaints.append(f"{check} on {backend}: {outcome}, should have failed")
                outcome = self.corrected.get(backend, {}).get(check, "missing")
                if outcome not in {"passed", "not applicable"}:
                    reason = self.alarms.get((backend, check), "")
                    self.complaints.append(
                        f"{check} on {backend}: {outcome} on the corrected twin{reason and f': {reason}'}"
                    )
        for check in self.specimen.caught_by:
            if not any(
                self.wrong.get(backend, {}).get(check) == "failed" for backend in self.specimen.backends
            ):
                self.complaints.append(f"{check} caught the specimen on no backend")


def find(names: Iterable[str]) -> list[Meeting]:
    """Return a meeting for each of these specimens, or for all if `names` is empty.

    Raises:
        SystemExit: There is no specimen of that name.
    """
    if unknown := sorted(set(names) - set(SPECIMENS)):
        sys.exit(f"Unknown specimen {', '.join(unknown)}. Choose from: {', '.join(sorted(SPECIMENS))}.")
    return [Meeting(name, SPECIMENS[name]) for name in sorted(names or SPECIMENS)]


def lean(environment: Mapping[str, str], directory: str) -> dict[str, str]:
    """Return an environment in which log-ins to MySQL are fast.

    PyMySQL reads all certificates of the system at each log-in, and uses none of them here.

    Args:
        environment: The variables to start from.
        directory: An empty directory, which must outlive the processes.
    """
    return {**environment, "SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": directory}


def battery(
    name: str, options: Iterable[str], environment: Mapping[str, str], *, corrected: bool = False
) -> list[Row]:
    """Run checks on a specimen in a process of its own; return the rows of the matrix.

    Raises:
        BatteryError: There is no matrix.
    """
    seconds = RIGHT_SECONDS if corrected or name not in SPECIMENS else WRONG_SECONDS
    with tempfile.TemporaryDirectory() as directory:
        matrix = Path(directory, "matrix.json")
        command = [
            *(
                "pytest",
                "-p",
                "flask_sqlalchemy_testbed",
                "flask_sqlalchemy_testbed/battery",
                "-q",
                "--tb=no",
            ),
            *("-p", "tests.lent", "-p", "no:cacheprovider", "-W", "default", "-o", "testbed_promises=false"),
            *("--testbed-check-timeout", str(seconds), "--testbed-matrix", str(matrix)),
            *("--testbed-app", f"{SUBJECT}:create_app", "--testbed-session", f"{SUBJECT}:session", *options),
        ]
        variables = {
            **environment,
            # Load no plugin but those of the command.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "SPECIMEN": name,
            **({"SPECIMEN_CORRECTED": "1"} if corrected else {}),
        }
        try:
            run = prepared.run(command, cwd=ROOT, env=variables, timeout=RUN_SECONDS, merged=True)
        except subprocess.TimeoutExpired as error:
            message = f"the battery did not end within {RUN_SECONDS} s"
            raise BatteryError(message) from error
        if not matrix.exists():
            message = f"the battery did not run: {run.stdout.strip()[-500:]}"
            raise BatteryError(message)
        return json.loads(matrix.read_text(encoding="utf-8"))["checks"]  # type: ignore[no-any-return]


def failed(rows: Iterable[Row]) -> Iterator[tuple[str, str, str]]:
    """Yield the backend, the id and the reason of each check that failed."""
    for row in rows:
        for backend, outcome in row["results"].items():
            if outcome == "failed":
                yield backend, row["id"], row["reasons"].get(backend, "")


def outcomes_of(rows: Iterable[Row]) -> Outcomes:
    """Return the outcomes by backend and check."""
    outcomes: Outcomes = {}
    for row in rows:
        for backend, outcome in row["results"].items():
            outcomes.setdefault(backend, {})[row["id"]] = outcome
    return outcomes


def meet(
    meeting: Meeting, backends: str, environment: Mapping[str, str], everywhere: Iterable[str]
) -> Meeting:
    """Run the specimen's checks on both of its bindings, and judge the outcomes.

    Args:
        meeting: The specimen; the results are written into it.
        backends: The value of --testbed-backend.
        environment: The variables of the processes.
        everywhere: The ids of checks that run on the wrong binding besides those of the specimen.
    """
    began = time.monotonic()
    named = meeting.specimen.caught_by
    options = ["--testbed-backend", backends]
    if meeting.specimen.uri_env:
        options += ["--testbed-uri-env", meeting.specimen.uri_env]
    if any(check.startswith("promises.") for check in named):
        options.append("--testbed-promises")
    both = dict.fromkeys([*named, *everywhere])
    try:
        rows = battery(meeting.name, [*options, *_only(both)], environment)
        meeting.wrong = outcomes_of(rows)
        for backend, check, reason in failed(rows):
            if check in named:
                meeting.evidence.setdefault(backend, {})[check] = reason
        rows = battery(meeting.name, [*options, *_only(named)], environment, corrected=True)
        meeting.corrected = outcomes_of(rows)
        meeting.alarms = {(backend, check): reason for backend, check, reason in failed(rows)}
    except BatteryError as error:
        meeting.complaints.append(str(error))
    meeting.judge()
    meeting.seconds = round(time.monotonic() - began, 1)
    return meeting


def false_alarms(
    name: str, backends: str, environment: Mapping[str, str], checks: Iterable[str] = ()
) -> list[str]:
    """Run checks on a sound binding, and return a line for each that failed.

    Args:
        name: The binding.
        backends: The backends of the run, separated by commas.
        environment: The variables of the process.
        checks: The ids of the checks; all of them if there is none.
    """
    try:
        rows = battery(name, ["--testbed-backend", backends, *_only(checks)], environment)
    except BatteryError as error:
        return [str(error)]
    return [f"{check} on {backend}: {reason}" for backend, check, reason in failed(rows)]


def _only(checks: Iterable[str]) -> list[str]:
    return [word for check in checks for word in ("--testbed-check", check)]
