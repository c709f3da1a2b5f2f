"""Puts every specimen through the battery: each must be caught by the check that is about its mistake.

`python -m tests.power` meets each specimen with its own checks and with all that stop no server;
`--full` with everything. It writes `build/power.json` and prints what was caught, as it goes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.backends import choose
from testbed.run import Run
from tests import specimens
from tests.specimens import ALL, Specimen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "power.json"
# One specimen's whole battery; a check bounds its own time.
AT_MOST_SECONDS = 900
# They wait more than they work.
WORKERS = 6

# Of one run: backend -> check id -> outcome.
Outcomes = dict[str, dict[str, str]]


@dataclass
class Meeting:
    """What came of one specimen."""

    name: str
    specimen: Specimen
    wrong: Outcomes = field(default_factory=dict)
    corrected: Outcomes = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

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
        if not any(
            self.wrong.get(backend, {}).get(check) == "failed"
            for backend in self.specimen.backends
            for check in self.specimen.caught_by
        ):
            self.complaints.append("none of its checks caught it on any backend")


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
                "testbed/battery",
                "-q",
                "--tb=native",
                "-p",
                "no:cacheprovider",
                "-W",
                "default",
            ),
            *("--app", f"{subject}:create_app", "--session", f"{subject}:session", "-o", "promises=false"),
            *("--matrix", str(matrix), *options),
        ]
        if meeting.specimen.uri_env:
            command += ["--uri-env", meeting.specimen.uri_env]
        if any(check.startswith("promises.") for check in meeting.specimen.caught_by):
            command.append("--promises")
        run = subprocess.run(
            command,
            cwd=ROOT,
            env={**environment, **({"SPECIMEN_CORRECTED": "1"} if corrected else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=AT_MOST_SECONDS,
        )
        if not matrix.exists():
            meeting.complaints.append(f"the battery did not run: {run.stdout.strip()[-500:]}")
            return {}
        outcomes: Outcomes = {}
        for row in json.loads(matrix.read_text(encoding="utf-8"))["checks"]:
            for backend, outcome in row["results"].items():
                outcomes.setdefault(backend, {})[row["id"]] = outcome
        return outcomes


def meet(meeting: Meeting, backends: str, shared: Mapping[str, str], *, full: bool) -> Meeting:
    """Put one specimen, and its corrected twin, through the battery."""
    named = [option for check in meeting.specimen.caught_by for option in ("--check", check)]
    backend = ["--backend", backends]
    meeting.wrong = battery(meeting, backend, shared, corrected=False)
    meeting.corrected = battery(meeting, backend + ([] if full else named), shared, corrected=True)
    elsewhere = [
        check
        for check in meeting.specimen.caught_by
        if any(checks.get(check) == "not applicable" for checks in meeting.wrong.values())
    ]
    if full or elsewhere:
        # These need a server that they may stop, which nobody shares.
        own = {name: value for name, value in shared.items() if not name.startswith("TESTBED_")}
        options = backend if full else backend + [part for check in elsewhere for part in ("--check", check)]
        for outcomes, corrected in ((meeting.wrong, False), (meeting.corrected, True)):
            for name, checks in battery(meeting, options, own, corrected=corrected).items():
                outcomes.setdefault(name, {}).update(
                    {check: outcome for check, outcome in checks.items() if outcome != "not applicable"}
                )
    meeting.judge()
    return meeting


def idle(meetings: list[Meeting], blameless: Mapping[str, set[str]]) -> list[str]:
    """The checks that caught no specimen on a backend where they were run, and could have."""
    ran: dict[str, set[str]] = {}
    caught: dict[str, set[str]] = {}
    for meeting in meetings:
        for backend, checks in meeting.wrong.items():
            for check, outcome in checks.items():
                if outcome in {"passed", "failed"}:
                    ran.setdefault(check, set()).add(backend)
                if outcome == "failed":
                    caught.setdefault(check, set()).add(backend)
    return [
        f"{check} on {', '.join(sorted(missing))}"
        for check, backends in sorted(ran.items())
        if (missing := backends - caught.get(check, set()) - blameless.get(check, set()))
    ]


def blameless_checks() -> dict[str, set[str]]:
    """The backends on which a check states what they do by nature: no binding can fail it there."""
    found: dict[str, set[str]] = {}
    package = importlib.import_module("testbed.battery")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("test_"):
            for value in vars(importlib.import_module(f"testbed.battery.{module.name}")).values():
                for mark in getattr(value, "pytestmark", ()):
                    if mark.name == "check":
                        it = mark.args[0]
                        found[it.id] = set(ALL if it.records else it.unfailable)
    return found


def as_json(meeting: Meeting) -> dict[str, Any]:
    """One row of `power.json`."""
    return {
        "specimen": meeting.name,
        "mistake": meeting.specimen.mistake,
        "met": meeting.specimen.met,
        "expected": list(meeting.specimen.caught_by),
        "backends": list(meeting.specimen.backends),
        "why_not": meeting.specimen.why_not,
        "caught_by": meeting.caught_by(),
        "complaints": meeting.complaints,
    }


def main() -> int:
    """Meet them all; 1 if one got away."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("specimens", nargs="*", help="only these")
    parser.add_argument("--full", action="store_true", help="everything, on servers of their own too")
    parser.add_argument("--backend", default=",".join(ALL), help="with commas between (default: all)")
    options = parser.parse_args()
    meetings = find(options.specimens)
    run = Run(tell=lambda line: print(line, flush=True))
    try:
        run.start(choose(options.backend.split(",")))
        uris = {
            f"TESTBED_{name.upper()}_URI": server.url.render_as_string(hide_password=False)
            for name, server in run.servers.items()
            if server.url is not None
        }
        shared = {**os.environ, **uris}
        with ThreadPoolExecutor(WORKERS) as threads:
            coming = [threads.submit(meet, it, options.backend, shared, full=options.full) for it in meetings]
            for number, future in enumerate(coming, 1):
                it = future.result()
                verdict = "; ".join(it.complaints) or f"caught by {', '.join(it.specimen.caught_by)}"
                print(f"[{number}/{len(meetings)}] {it.name}: {verdict}", flush=True)
    finally:
        run.close()
    got_away = [it.name for it in meetings if it.complaints]
    powerless = [] if options.specimens else idle(meetings, blameless_checks())
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {"specimens": [as_json(it) for it in meetings], "caught_nothing": powerless}
    OUTPUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for line in powerless:
        print(f"caught nothing: {line}")
    failed = len(got_away) + len(powerless)
    print(
        f"{len(meetings) - len(got_away)} of {len(meetings)} specimens caught; see {OUTPUT.relative_to(ROOT)}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
