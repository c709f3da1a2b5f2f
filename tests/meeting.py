"""Run the battery on a specimen: its checks must fail on the wrong binding and pass on the corrected one."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.specimens.bindings import Specimen
from tests.specimens.catalogue import SPECIMENS

ROOT = Path(__file__).parents[1]
SUBJECT = "tests.specimens.subject"
# For one run of the battery; each check has its own time limit.
RUN_SECONDS = 900
# A check takes one or two seconds; on a wrong binding some wait for a connection that never comes back.
CHECK_SECONDS = 12

# The outcomes of one run: backend -> check id -> outcome.
Outcomes = dict[str, dict[str, str]]


@dataclass
class Meeting:
    """The results of one specimen."""

    name: str
    specimen: Specimen
    wrong: Outcomes = field(default_factory=dict)
    corrected: Outcomes = field(default_factory=dict)
    evidence: dict[str, dict[str, str]] = field(default_factory=dict)
    """Why each of its checks failed on the wrong binding: backend -> check id -> one line."""
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
                    self.complaints.append(f"{check} on {backend}: {outcome} on the corrected twin")
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
    """Return an environment in which pytest starts fast: a proof of power starts it over a hundred times.

    Args:
        environment: The variables to start from.
        directory: An empty directory, which must outlive the processes.
    """
    return {
        **{name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"},
        # Compile each module once, outside the source tree.
        "PYTHONPYCACHEPREFIX": directory,
        # PyMySQL reads all certificates of the system at each log-in, and uses none of them here.
        "SSL_CERT_FILE": os.devnull,
        "SSL_CERT_DIR": directory,
    }


def battery(
    meeting: Meeting, options: list[str], environment: Mapping[str, str], *, corrected: bool
) -> Outcomes:
    """Run checks on the specimen in a process of its own, and return their outcomes."""
    with tempfile.TemporaryDirectory() as directory:
        matrix = Path(directory, "matrix.json")
        command = [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "flask_sqlalchemy_testbed",
                "flask_sqlalchemy_testbed/battery",
                "-q",
                "--tb=no",
            ),
            *("-p", "tests.lent", "-p", "no:cacheprovider", "-W", "default", "-o", "testbed_promises=false"),
            *("--testbed-check-timeout", str(CHECK_SECONDS), "--testbed-matrix", str(matrix)),
            *("--testbed-app", f"{SUBJECT}:create_app", "--testbed-session", f"{SUBJECT}:session", *options),
        ]
        if meeting.specimen.uri_env:
            command += ["--testbed-uri-env", meeting.specimen.uri_env]
        if any(check.startswith("promises.") for check in meeting.specimen.caught_by):
            command.append("--testbed-promises")
        try:
            run = subprocess.run(
                command,
                cwd=ROOT,
                env={
                    **environment,
                    # Load no plugin but those of the command.
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                    "SPECIMEN": meeting.name,
                    **({"SPECIMEN_CORRECTED": "1"} if corrected else {}),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=RUN_SECONDS,
            )
        except subprocess.TimeoutExpired:
            meeting.complaints.append(f"the battery did not end within {RUN_SECONDS} s")
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
    """Run the specimen's checks on both of its bindings, and judge the outcomes.

    Args:
        meeting: The specimen; the results are written into it.
        backends: The value of --testbed-backend.
        environment: The variables of the processes.
        everywhere: The ids of checks that also run on the wrong binding of every specimen.
    """
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
