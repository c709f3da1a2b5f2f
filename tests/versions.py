"""Run the tests of the binding, those of the ledger and the battery on versions of the databases.

`python -m tests.versions postgresql:15 mariadb:10.11` gets the image of each version, tests one version after
the other, and writes build/versions/index.html: a row for each check, a column for each version.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from xml.etree import ElementTree as ET

from flask_sqlalchemy_testbed.backends import BACKENDS, Backend
from flask_sqlalchemy_testbed.report import pages
from flask_sqlalchemy_testbed.report.__main__ import read
from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow, Report
from flask_sqlalchemy_testbed.report.merge import merge
from flask_sqlalchemy_testbed.report.outcome import Outcome, worst
from flask_sqlalchemy_testbed.report.summary import by_outcome, counts
from flask_sqlalchemy_testbed.servers import recipes
from flask_sqlalchemy_testbed.servers.given import variable

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "build" / "versions"
BATTERY = "flask_sqlalchemy_testbed/battery"
# The folders of tests that are no checks: the page has a row for each.
FOLDERS = {
    "tests.binding": "All tests of the binding pass.",
    "tests.ledger": "All tests of the ledger pass.",
}


class VersionError(ValueError):
    """A word that names no version of a database."""


@dataclass(frozen=True)
class Version:
    """A version of a database, and its image."""

    backend: Backend
    tag: str
    image: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the version that `postgresql:15` names; its image has the name of the default one.

        Raises:
            VersionError: The text names no version.
        """
        name, _, tag = text.partition(":")
        images = {backend.name: backend.recipe for backend in BACKENDS.values() if backend.recipe}
        if not (recipe := images.get(name)):
            message = f"Unknown backend {name!r}. Choose from: {', '.join(images)}."
            raise VersionError(message)
        if not tag:
            message = f"{text!r} names no version. Write it as BACKEND:VERSION."
            raise VersionError(message)
        default = recipes.base_image(recipe)
        repository = default.removesuffix(f":{default.rpartition('/')[2].rpartition(':')[2]}")
        return cls(BACKENDS[name], tag, f"{repository}:{tag}")

    def __str__(self) -> str:
        return f"{self.backend.name} {self.tag}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which runs test this version of the backend."""
        assert self.backend.recipe
        # A given server has one version.
        kept = {name: value for name, value in os.environ.items() if name != variable(self.backend)}
        # Without the tests that no version changes.
        return {**kept, self.backend.recipe.variable: self.image, "TESTS_OF_BACKENDS": "1"}


@dataclass(frozen=True)
class Result:
    """The result of one version."""

    report: Report
    line: str
    """The result in one line."""
    passed: bool = False
    why_not: str = ""
    """The reason if the version was not tested."""


def say(line: str) -> None:
    print(line, flush=True)


def get_image(version: Version) -> str:
    """Pull or build the image, and show the output meanwhile.

    Returns:
        The reason why there is no image; empty if there is one.
    """
    assert version.backend.recipe
    command = [str(ROOT / "docker/debian/images"), version.backend.recipe.name]
    last = ""
    with subprocess.Popen(command, env=version.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            last = line.strip().removeprefix("images: ")
            say(f"  {last}")
    return last if process.returncode else ""


def run_tests(version: Version, workers: str) -> Result:
    """Run the tests on a version, whose image exists."""
    folder = OUTPUT / "runs" / f"{version.backend.name}-{version.tag}"
    command = [sys.executable, "-m", "pytest", "--quiet", "-n", workers, "--dist", "worksteal"]
    command += ["--testbed-backend", version.backend.name, "--testbed-report", str(folder)]
    command += ["--junit-xml", str(folder / "junit.xml")]
    command += [*(name.replace(".", "/") for name in FOLDERS), BATTERY]
    began = time.monotonic()
    status = subprocess.run(command, cwd=ROOT, env=version.environment, check=False).returncode
    return result(version, folder, status, time.monotonic() - began)


def result(version: Version, folder: Path, status: int, seconds: float) -> Result:
    """Return the result of a run of pytest.

    Args:
        version: The version.
        folder: The folder of its report. A run that ended early has written none.
        status: The exit status of pytest.
        seconds: The time of the run.
    """
    evidence, junit = folder / "evidence.json", folder / "junit.xml"
    if not (evidence.exists() and junit.exists()):
        return not_tested(version, f"pytest ended with status {status} and wrote no report")
    name = version.backend.name
    checks = read(evidence)
    report = with_tests(checks, junit.read_text(encoding="utf-8"), name)
    tests = [f"{row['id']}: {row['results'][name]}" for row in report["checks"] if row["id"] in FOLDERS]
    line = f"{version}: {by_outcome(checks['checks'])}; {'; '.join(tests)} ({seconds:.0f} s)"
    return Result(report, line, passed=not status)


def not_tested(version: Version, reason: str) -> Result:
    """Return the result of a version that was not tested; `merged` shows each check as not run on it."""
    name = version.backend.name
    report: Report = {
        "subject": {},
        "software": {},
        "servers": {name: {"backend": name, "version": version.tag, "source": f"not tested: {reason}"}},
        "checks": [],
        "evidence": {},
    }
    return Result(report, f"{version}: not tested: {reason}", why_not=reason)


def merged(results: Mapping[str, Result]) -> Report:
    """Return the report of all versions, by their names."""
    known = next((each.report["checks"] for each in results.values() if each.report["checks"]), [])
    for each in results.values():
        if each.why_not:
            (column,) = each.report["servers"]
            shown = {"results": {column: str(Outcome.NOT_RUN)}, "reasons": {column: each.why_not}}
            each.report["checks"] = [{**row, **shown} for row in known]  # type: ignore[typeddict-item] # as known
    return merge({name: each.report for name, each in results.items()})


def with_tests(report: Report, junit: str, column: str) -> Report:
    """Return the report with a row for each folder of tests that are no checks.

    Args:
        report: The report of one backend.
        junit: The file that pytest wrote for `--junit-xml`.
        column: The name of the backend.
    """
    cases = list(ET.fromstring(junit).iter("testcase"))  # noqa: S314 - pytest wrote it
    rows, evidence = list(report["checks"]), dict(report["evidence"])
    for name, claim in FOLDERS.items():
        attempts = [_attempt(case) for case in cases if case.get("classname", "").startswith(f"{name}.")]
        failed = [attempt for attempt in attempts if attempt["outcome"] == Outcome.FAILED]
        reasons = [f"{attempt['test']}: {attempt['reason']}" for attempt in failed]
        row: CheckRow = {
            "id": name,
            "group": name.partition(".")[0],
            "claim": claim,
            "cases": [],
            "remedy": "",
            "results": {column: worst(attempt["outcome"] for attempt in attempts)},
            "reasons": {column: "\n".join(reasons) or _counted(attempts)},
        }
        rows.append(row)
        evidence[name] = {column: failed}
    return {**report, "checks": rows, "evidence": evidence}


def _attempt(case: ET.Element) -> Attempt:
    outcomes = {"failure": Outcome.FAILED, "error": Outcome.FAILED, "skipped": Outcome.NOT_APPLICABLE}
    found = next((part for part in case if part.tag in outcomes), ET.Element(""))
    return {
        "test": case.get("name", ""),
        "outcome": outcomes.get(found.tag, Outcome.PASSED),
        "reason": found.get("message", "").partition("\n")[0],
        "seconds": float(case.get("time", 0)),
        "failure": found.text or "",
    }


def _counted(attempts: list[Attempt]) -> str:
    passed = [attempt for attempt in attempts if attempt["outcome"] == Outcome.PASSED]
    reasons = dict.fromkeys(attempt["reason"] for attempt in attempts if attempt not in passed)
    others = f", {len(attempts) - len(passed)} not applicable ({'; '.join(reasons)})" if reasons else ""
    return f"{len(passed)} passed{others}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 1 if a version failed or was not tested."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.versions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("versions", nargs="+", metavar="BACKEND:VERSION")
    parser.add_argument("--workers", default="4", help="processes for the tests of one version")
    options = parser.parse_args(arguments)
    try:
        wanted = [Version.of(text) for text in dict.fromkeys(options.versions)]
    except VersionError as error:
        parser.error(str(error))
    shutil.rmtree(OUTPUT, ignore_errors=True)
    missing: dict[str, str] = {}
    # All images first: the reason why there is none shows before the long work.
    for version in wanted:
        say(f"{version}: the image {version.image}")
        missing[str(version)] = get_image(version)
    results: dict[str, Result] = {}
    for number, version in enumerate(wanted, 1):
        say(f"[{number}/{len(wanted)}] {version}")
        reason = missing[str(version)]
        results[str(version)] = not_tested(version, reason) if reason else run_tests(version, options.workers)
    report = merged(results)
    pages.write(OUTPUT, report)
    for each in results.values():
        say(each.line)
    say(f"{counts(report)}; {OUTPUT / 'index.html'}")
    return int(not all(each.passed for each in results.values()))


if __name__ == "__main__":
    sys.exit(main())
