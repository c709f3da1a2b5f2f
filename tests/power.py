"""Run the battery on every specimen: the checks that are about its mistake must catch it.

On the sound bindings, which look unusual and are right, no check may fail.

`python -m tests.power` runs the checks of each specimen, and on one of them all checks that stop no server;
with `--full`, those too. It prints each result at once and writes them all to `build/power.json`.
"""

import argparse
import importlib
import json
import os
import pkgutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.backends import choose
from flask_sqlalchemy_testbed.checks.definition import PROMISES, Check
from flask_sqlalchemy_testbed.run import Run
from tests.lent import written
from tests.meeting import ROOT, Meeting, false_alarms, find, lean, meet
from tests.specimens.bindings import ALL
from tests.specimens.catalogue import SOUND

OUTPUT = ROOT / "build" / "power.json"
# More than there are processors: the runs wait more than they work.
WORKERS = 6


def idle(meetings: list[Meeting], blameless: Mapping[str, set[str]]) -> list[str]:
    """Return a line for each check that caught no specimen that names it.

    A check has a line if that is so on any backend where it ran.

    Args:
        meetings: The results of all specimens.
        blameless: The backends to ignore, by the id of the check.
    """
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
    """Return all checks of the battery."""
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
    """Return, by the id of a check, the backends on which no binding can fail it."""
    return {check.id: set(ALL if check.records else check.unfailable) for check in checks}


def as_json(meeting: Meeting) -> dict[str, Any]:
    """Return a row of `power.json`."""
    return {
        "specimen": meeting.name,
        "mistake": meeting.specimen.mistake,
        "met": meeting.specimen.met,
        "expected": list(meeting.specimen.caught_by),
        "backends": list(meeting.specimen.backends),
        "why_not": " ".join(dict.fromkeys(meeting.specimen.not_on.values())),
        "caught_by": meeting.caught_by(),
        "evidence": meeting.evidence,
        "complaints": meeting.complaints,
        "seconds": meeting.seconds,
    }


def meet_all(
    meetings: list[Meeting], sound: list[str], backends: str, everywhere: list[str], *, workers: int
) -> dict[str, list[str]]:
    """Run all specimens, `workers` at a time, on servers that they share; print each result.

    Returns:
        The false alarms by the name of the sound binding.
    """
    # The longest meetings begin first.
    ordered = sorted(meetings, key=lambda meeting: not meeting.specimen.takes_long)
    run = Run(notify=lambda line: print(line, flush=True))
    # A clean-up process outlives its run for a moment and writes bytecode into the directory.
    temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with temporary as directory, ThreadPoolExecutor(workers) as threads:
        try:
            run.start(choose(backends.split(",")))
            loans = written(Path(directory, "loans"), run.servers.values())
            environment = lean({**os.environ, **loans}, directory)
            # The sound bindings promise nothing beyond the claims that hold for every app.
            unpromised = [check for check in everywhere if not check.startswith(f"{PROMISES}.")]
            # One specimen meets all checks, so that a check that no specimen names is noticed.
            coming = [
                threads.submit(
                    meet, meeting, backends, environment, everywhere if meeting is ordered[0] else ()
                )
                for meeting in ordered
            ]
            calm = {
                name: threads.submit(false_alarms, name, backends, environment, unpromised) for name in sound
            }
            for number, future in enumerate(as_completed(coming), 1):
                met = future.result()
                verdict = "; ".join(met.complaints) or f"caught by {', '.join(met.specimen.caught_by)}"
                print(f"[{number}/{len(meetings)}] {met.name}: {verdict} ({met.seconds:.0f} s)", flush=True)
            alarms = {name: future.result() for name, future in calm.items()}
            for name, lines in alarms.items():
                print(f"{name}: {'; '.join(lines) or 'no false alarm'}", flush=True)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            run.close()
    return alarms


def main() -> int:
    """Run the command and return its exit status.

    It is 1 if a specimen was missed or if a check caught nothing.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("specimens", nargs="*", help="only these specimens")
    parser.add_argument("--full", action="store_true", help="also run the checks that stop servers")
    parser.add_argument("--backend", default=",".join(ALL), help="separated by commas (default: all)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="how many at a time")
    options = parser.parse_args()
    sound = [name for name in SOUND if not options.specimens or name in options.specimens]
    named = [name for name in options.specimens if name not in SOUND]
    meetings = find(named) if named or not options.specimens else []
    began = time.monotonic()
    everywhere = [check.id for check in checks() if options.full or not check.stops_server]
    alarms = meet_all(meetings, sound, options.backend, everywhere, workers=options.workers)
    missed = [meeting.name for meeting in meetings if meeting.complaints]
    powerless = [] if options.specimens else idle(meetings, blameless(checks()))
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {
        "specimens": [as_json(meeting) for meeting in meetings],
        "caught_nothing": powerless,
        "false_alarms": alarms,
    }
    OUTPUT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    for line in powerless:
        print(f"caught nothing: {line}")
    print(
        f"{len(meetings) - len(missed)} of {len(meetings)} specimens caught"
        f" in {time.monotonic() - began:.0f} s; see {OUTPUT.relative_to(ROOT)}"
    )
    return 1 if missed or powerless or any(alarms.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
