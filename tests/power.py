"""Puts every specimen through the battery: each must be caught by the check that is about its mistake.

`python -m tests.power` meets each specimen with its own checks and with all that stop no server; `--full`
with everything. It writes `build/power.json` and prints what was caught, as it goes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.backends import choose
from flask_sqlalchemy_testbed.run import Run
from tests.lent import written
from tests.meeting import ROOT, Meeting, find, lean, meet
from tests.specimens import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask_sqlalchemy_testbed.checks.check import Check

OUTPUT = ROOT / "build" / "power.json"
# They wait more than they work.
WORKERS = 6


def idle(meetings: list[Meeting], blameless: Mapping[str, set[str]]) -> list[str]:
    """The checks that caught none of the specimens that name them, on a backend where they could have."""
    ran: dict[str, set[str]] = {}
    caught: dict[str, set[str]] = {}
    for meeting in meetings:
        for backend, checks in meeting.wrong.items():
            for check, outcome in checks.items():
                if outcome in {"passed", "failed"}:
                    ran.setdefault(check, set()).add(backend)
                if outcome == "failed" and check in meeting.specimen.caught_by:
                    caught.setdefault(check, set()).add(backend)
    return [
        f"{check} on {', '.join(sorted(missing))}"
        for check, backends in sorted(ran.items())
        if (missing := backends - caught.get(check, set()) - blameless.get(check, set()))
    ]


def checks() -> list[Check]:
    """All that the battery has."""
    package = importlib.import_module("flask_sqlalchemy_testbed.battery")
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if module.name.startswith("test_")
    ]
    return [
        mark.args[0]
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("test_")
        for mark in getattr(value, "pytestmark", ())
        if mark.name == "testbed_check"
    ]


def blameless(checks: Iterable[Check]) -> dict[str, set[str]]:
    """The backends on which a check states what they do by nature: no binding can fail it there."""
    return {it.id: set(ALL if it.records else it.unfailable) for it in checks}


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
        "evidence": meeting.evidence,
        "complaints": meeting.complaints,
        "seconds": meeting.seconds,
    }


def meet_all(meetings: list[Meeting], backends: str, everywhere: list[str], *, workers: int) -> None:
    """Several at a time, on servers that they share; tells of each when it is done."""
    # Those that wait for what never comes begin first.
    ordered = sorted(meetings, key=lambda it: not it.specimen.takes_long)
    run = Run(tell=lambda line: print(line, flush=True))
    # What cleans up after a run outlives it for a moment, and compiles in here what it imports.
    temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with temporary as directory, ThreadPoolExecutor(workers) as threads:
        try:
            run.start(choose(backends.split(",")))
            loans = written(Path(directory, "loans"), run.servers.values())
            environment = lean({**os.environ, **loans}, directory)
            coming = [threads.submit(meet, it, backends, environment, everywhere) for it in ordered]
            for number, future in enumerate(as_completed(coming), 1):
                it = future.result()
                verdict = "; ".join(it.complaints) or f"caught by {', '.join(it.specimen.caught_by)}"
                print(f"[{number}/{len(meetings)}] {it.name}: {verdict} ({it.seconds:.0f} s)", flush=True)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            run.close()


def main() -> int:
    """Meet them all; 1 if one got away."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("specimens", nargs="*", help="only these")
    parser.add_argument("--full", action="store_true", help="the checks that stop servers too")
    parser.add_argument("--backend", default=",".join(ALL), help="with commas between (default: all)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="how many at a time")
    options = parser.parse_args()
    meetings = find(options.specimens)
    began = time.monotonic()
    everywhere = [it.id for it in checks() if options.full or not it.stops_server]
    meet_all(meetings, options.backend, everywhere, workers=options.workers)
    got_away = [it.name for it in meetings if it.complaints]
    powerless = [] if options.specimens else idle(meetings, blameless(checks()))
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {"specimens": [as_json(it) for it in meetings], "caught_nothing": powerless}
    OUTPUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for line in powerless:
        print(f"caught nothing: {line}")
    print(
        f"{len(meetings) - len(got_away)} of {len(meetings)} specimens caught"
        f" in {time.monotonic() - began:.0f} s; see {OUTPUT.relative_to(ROOT)}"
    )
    return 1 if got_away or powerless else 0


if __name__ == "__main__":
    sys.exit(main())
