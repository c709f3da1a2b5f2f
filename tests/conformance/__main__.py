"""Put every peer and every application through the battery, and write down what came of it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.backends import choose
from flask_sqlalchemy_testbed.run import Run

from . import battery, page, reproduce
from .environments import ROOT, InstallationError, wheel
from .judge import EXPECTED, unusual
from .subjects import found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .subjects import Subject

DOCUMENT = ROOT / "build" / "conformance.json"
BACKENDS = "sqlite,postgresql,mysql"
# They wait more than they work.
WORKERS = 3


def tell(line: str) -> None:
    print(line, flush=True)


def measure(subject: Subject, testbed: Path, backends: str, uris: Mapping[str, str]) -> dict[str, Any]:
    """What came of one subject: the battery's outcomes, and for a peer what the reproductions say of them."""
    with tempfile.TemporaryDirectory() as wheels:
        python, versions = subject.install(testbed, Path(wheels))
    measured = battery.run(subject, python, backends)
    reproduced = reproduce.run(subject, python, measured["outcomes"], uris) if subject.is_peer else {}
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


def compare(subjects: Sequence[Subject], backends: str, workers: int) -> dict[str, Any]:
    """All of them, in their order; the servers that the reproductions share are there meanwhile."""
    run = Run(notify=tell)
    with tempfile.TemporaryDirectory() as directory:
        try:
            run.start(choose(backends.split(",")))
            uris = {
                name: f"sqlite:///{directory}/database.db"
                if server.url is None
                else server.url.render_as_string(hide_password=False)
                for name, server in run.servers.items()
            }
            testbed = wheel(ROOT, Path(directory))
            with ThreadPoolExecutor(workers) as threads:
                coming = {threads.submit(measure, it, testbed, backends, uris): it for it in subjects}
                measured: dict[str, dict[str, Any]] = {}
                errors: list[str] = []
                for number, future in enumerate(as_completed(coming), 1):
                    name = coming[future].name
                    try:
                        measured[name] = future.result()
                        told = page.in_a_line(measured[name])
                    except (battery.BatteryError, InstallationError) as error:
                        errors.append(f"{name}: {error}")
                        told = errors[-1]
                    tell(f"[{number}/{len(coming)}] {told}")
        finally:
            run.close()
    found = [measured[subject.name] for subject in subjects if subject.name in measured]
    return {"backends": backends.split(","), "subjects": found, "errors": errors}


def main() -> int:
    """Measure, write, judge; not 0 where anything is not as known."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("subjects", nargs="*", help="only these; what the others were is kept")
    parser.add_argument("--testbed-backend", default=BACKENDS, help="with commas between (default: all)")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"so many at once (default: {WORKERS})")
    parser.add_argument("--accept", action="store_true", help="what is found is what is known from now on")
    parser.add_argument(
        "--lock", action="store_true", help="choose the versions of the packages anew, and end"
    )
    options = parser.parse_args()
    known = {subject.name: subject for subject in found()}
    if unknown := set(options.subjects) - known.keys():
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    wanted = [known[name] for name in known if name in options.subjects or not options.subjects]
    if options.lock:
        for subject in wanted:
            subject.lock()
        return 0
    document = compare(wanted, options.backend, options.workers)
    whole = not (options.subjects or document["errors"]) and options.backend == BACKENDS
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if options.accept:
        accept(document, whole=whole)
    if whole:
        page.PAGE.parent.mkdir(exist_ok=True)
        page.PAGE.write_text(page.render(document), encoding="utf-8")
        tell(f"Written: {page.PAGE.relative_to(ROOT)}, {DOCUMENT.relative_to(ROOT)}")
    # The judgement is a test like others.
    judges = [str(ROOT / "tests" / "conformance"), str(ROOT / "tests" / "applications")]
    status = subprocess.call([sys.executable, "-m", "pytest", "-q", *judges], cwd=ROOT, env=dict(os.environ))
    return status or int(bool(document["errors"]))


def accept(document: Mapping[str, Any], *, whole: bool) -> None:
    """Write what is known; of those that were not measured it stays."""
    before = json.loads(EXPECTED.read_text(encoding="utf-8")) if EXPECTED.exists() and not whole else {}
    now = {subject["name"]: unusual(subject["outcomes"]) for subject in document["subjects"]}
    EXPECTED.write_text(json.dumps({**before, **now}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
