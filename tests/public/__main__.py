"""Run the battery on every public application, and write docs/applications.md."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.backends import BACKENDS, choose
from flask_sqlalchemy_testbed.run import Run
from tests.conformance import battery, judge, reproduce
from tests.conformance.environments import ROOT, InstallationError, wheel

from . import page
from .application import Application, find_applications
from .redis import RedisMissingError, redis_server
from .verdicts import Verdict, count, sort_failures, unexplained

# One file for each application and backend; a run that was interrupted goes on with the others.
RESULTS = ROOT / "build" / "applications"
# The time limit of one run: an application that starts slowly may start anew for each check.
SECONDS = 3600


def say(line: str) -> None:
    print(line, flush=True)


def commit() -> str:
    """Return the commit of this repository, with a plus sign if a tracked file differs from it.

    The page and its results do not count: each run writes them.
    """
    written = [f":!{path.relative_to(ROOT)}" for path in (page.PAGE, page.MEASURED)]
    differs = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ".", *written], cwd=ROOT, check=False)
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() + "+" * bool(differs.returncode)


def measure(application: Application, testbed: Path, backend: str, uris: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows of one application on one backend."""
    result: dict[str, Any] = {"name": application.name, "backend": backend, "commit": commit()}
    binding = judge.expected().get(application.binding, {})
    try:
        with tempfile.TemporaryDirectory() as wheels, ExitStack() as stack:
            if application.redis:
                application = application.with_redis(stack.enter_context(redis_server()))
            python, found = application.install(testbed, Path(wheels))
            result["versions"] = found
            measured = battery.run(application, python, [backend], SECONDS)
            failed = unexplained(measured["outcomes"], binding)
            reproduced = (
                reproduce.run(application, python, failed, {backend: uris[backend]}) if failed else {}
            )
    except (InstallationError, RedisMissingError, battery.BatteryError) as error:
        return {**result, "obstacle": str(error)}
    failures = sort_failures(measured["outcomes"], reproduced, binding)
    return {
        **result,
        "reasons": {
            failure["check"]: measured["reasons"][failure["check"]].get(backend, "")
            for failure in failures
            if failure["verdict"] == Verdict.FALSE_ALARM
        },
        "server": measured["servers"].get(backend, ""),
        "checks": count(measured["outcomes"], on=backend),
        "failures": failures,
    }


def summary(result: Mapping[str, Any]) -> str:
    """Return the result in a line, for the terminal."""
    name = f"{result['name']} on {result['backend']}"
    if "obstacle" in result:
        return f"{name}: could not be tried: {result['obstacle'].strip().splitlines()[-1]}"
    numbers = {verdict: page.number_of(result, verdict) for verdict in Verdict}
    return (
        f"{name}: {result['checks']} checks apply; failures: {numbers[Verdict.OWN]} of the application,"
        f" {numbers[Verdict.BINDING]} of its binding, {numbers[Verdict.FALSE_ALARM]} false alarms"
    )


def measure_all(wanted: Sequence[tuple[Application, str]]) -> None:
    """Measure the applications one at a time, and keep each result as soon as it is there."""
    run = Run()
    with tempfile.TemporaryDirectory() as directory:
        try:
            run.start(choose([name for name in BACKENDS if any(on == name for _, on in wanted)]))
            uris = {
                name: f"sqlite:///{directory}/database.db"
                if server.url is None
                else server.url.render_as_string(hide_password=False)
                for name, server in run.servers.items()
            }
            testbed = wheel(ROOT, Path(directory))
            for number, (application, backend) in enumerate(wanted, 1):
                started = time.monotonic()
                result = measure(application, testbed, backend, uris)
                result["seconds"] = round(time.monotonic() - started)
                place(application, backend).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                say(f"[{number}/{len(wanted)}] {summary(result)} ({result['seconds']} s)")
        finally:
            run.close()


def place(application: Application, backend: str) -> Path:
    """Return the file of a result."""
    return RESULTS / f"{application.name}-{backend}.json"


def main() -> int:
    """Measure the applications, and write the page with these results and the earlier ones of the others.

    The exit status is 1 if there is a false alarm, or if an application could not be tried or could be tried
    against its description.
    """
    known = {application.name: application for application in find_applications()}
    parser = argparse.ArgumentParser(prog="python -m tests.public", description=__doc__)
    parser.add_argument("applications", nargs="*", metavar="NAME", help="measure these alone (default: all)")
    parser.add_argument("--backend", default=",".join(BACKENDS), help="backends (default: all documented)")
    parser.add_argument("--resume", action="store_true", help="keep the results that an earlier run wrote")
    options = parser.parse_args()
    if unknown := set(options.applications) - known.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Choose from: {', '.join(known)}.")
    RESULTS.mkdir(parents=True, exist_ok=True)
    pairs = [(application, on) for application in known.values() for on in application.backends]
    wanted = [
        (application, on)
        for application, on in pairs
        if on in options.backend.split(",")
        and (not options.applications or application.name in options.applications)
        and not (options.resume and place(application, on).exists())
    ]
    if wanted:
        measure_all(wanted)
    found = [json.loads(place(*pair).read_text(encoding="utf-8")) for pair in pairs if place(*pair).exists()]
    results = page.with_earlier(found, known)
    page.write(results, known)
    say(f"Written: {page.PAGE.relative_to(ROOT)}")
    problems = page.problems([*results, *(result for result in found if result not in results)], known)
    for line in problems:
        say(line)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
