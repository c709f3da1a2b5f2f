"""Run the battery on every peer and application; compare measured with expected outcomes."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.backends import choose
from flask_sqlalchemy_testbed.run import Run

from . import battery, judge, page, reproduce
from .environments import ROOT, InstallationError, wheel
from .subjects import Subject, find_subjects

BACKENDS = "sqlite,postgresql,mysql,mariadb"
# The measurements wait more than they compute.
WORKERS = 3


def say(line: str) -> None:
    print(line, flush=True)


def measure(subject: Subject, testbed: Path, backends: Sequence[str], run: Run) -> dict[str, Any]:
    """Return the outcomes of one subject, and for a peer the messages of the reproductions.

    The reproductions have servers of their own: one changes the password.
    """
    with tempfile.TemporaryDirectory() as wheels:
        python, versions = subject.install(testbed, Path(wheels))
    measured = battery.run(subject, python, backends)
    reproduced = {}
    if subject.is_peer:
        try:
            run.start(choose(backends))
            reproduced = reproduce.run(subject, python, measured["outcomes"], locate(run))
        finally:
            run.close()
    return {
        "name": subject.name,
        "title": subject.title,
        "is_peer": subject.is_peer,
        "setup": subject.setup,
        "documentation": subject.documentation,
        "versions": versions,
        **measured,
        "reproduced": reproduced,
    }


def locate(run: Run) -> dict[str, str]:
    """Return a URI on each server of a run; that of SQLite only names the database."""
    urls = {name: server.url for name, server in run.servers.items()}
    return {
        name: url.render_as_string(hide_password=False) if url else "sqlite://" for name, url in urls.items()
    }


def measure_all(subjects: Sequence[Subject], backends: list[str], workers: int) -> dict[str, Any]:
    """Measure the subjects, several at a time."""
    measured: dict[str, dict[str, Any]] = {}
    errors: list[str] = []
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(workers) as threads:
        testbed = wheel(ROOT, Path(directory))
        futures = {
            threads.submit(measure, subject, testbed, backends, Run()): subject for subject in subjects
        }
        for number, future in enumerate(as_completed(futures), 1):
            name = futures[future].name
            try:
                measured[name] = future.result()
                line = page.summary(measured[name])
            except (battery.BatteryError, InstallationError) as error:
                errors.append(f"{name}: {error}")
                line = errors[-1]
            say(f"[{number}/{len(futures)}] {line}")
    ordered = [measured[subject.name] for subject in subjects if subject.name in measured]
    return {"backends": backends, "subjects": ordered, "errors": errors}


def main() -> int:
    """Measure and compare; write the page after a whole run.

    The exit status is 1 if an outcome is not as expected.
    """
    known = {subject.name: subject for subject in find_subjects()}
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help="measure these alone (default: all)")
    parser.add_argument("--peers", action="store_true", help="do not measure the applications")
    parser.add_argument("--backend", default=BACKENDS, help=f"backends (default: {BACKENDS})")
    parser.add_argument("--workers", type=int, default=WORKERS, help="subjects measured at a time")
    parser.add_argument("--accept", action="store_true", help="write the outcomes as the expected ones")
    parser.add_argument("--lock", action="store_true", help="choose the newest packages instead of measuring")
    options = parser.parse_args()
    if unknown := set(options.subjects) - known.keys():
        parser.error(f"unknown subjects: {', '.join(sorted(unknown))}. Choose from: {', '.join(known)}.")
    wanted = [
        subject
        for subject in known.values()
        if (not options.subjects or subject.name in options.subjects)
        and (subject.is_peer or not options.peers)
    ]
    if options.lock:
        for subject in wanted:
            subject.lock()
        return 0
    backends = options.backend.split(",")
    document = measure_all(wanted, backends, options.workers)
    whole = options.backend == BACKENDS
    complete = whole and len(document["subjects"]) == len(known)
    if options.accept:
        judge.accept(document, whole=complete)
    if complete:
        page.PAGE.write_text(page.render(document), encoding="utf-8")
        say(f"Written: {page.PAGE.relative_to(ROOT)}")
    problems = judge.problems(document, whole=whole)
    for line in problems:
        say(line)
    if problems:
        say(f"{len(problems)} differences. Correct the code, or accept the outcomes with --accept.")
    else:
        say("All outcomes are as expected.")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
