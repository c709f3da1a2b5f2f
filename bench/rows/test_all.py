"""Measure `make test-all`, `make test`, and the tests of the binding, the ledger and the battery alone."""

import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bench import ROOT, Bench
from bench.measurements import Figure, Goal, Row
from bench.sampling import processor_time, succeed, timed

CASE = "make"
OF_THE_APP = "tests/binding tests/ledger flask_sqlalchemy_testbed/battery"
ALONE = "binding, ledger and battery alone"
# Each with its make target, the tests that it names, and its goal in seconds.
#
# README of commit 8f7a000, when the goals were set, gave 5 to 6 minutes for `make test` and 10 for
# `make test-all` on two processors. Half of these times are the goals.
COMMANDS = {
    "test-all": ("test-all", "", 300.0),
    "test": ("test", "", 180.0),
    ALONE: ("test-all", OF_THE_APP, 40.0),
}
# Seconds; far more than any of them needs.
WITHIN = 1200
A_FEW = "tests/binding/test_config.py tests/binding/test_engine.py tests/ledger/test_accounts.py"
# The folders with the most seconds; the others are one part.
NAMED = 5


def measure(bench: Bench) -> Row:
    """Measure each once: together they take most of the benchmark's time."""
    row = Row("test-all", "All tests on all three databases, on SQLite, and those of the app alone")
    for name, (target, tests, goal) in COMMANDS.items():
        bench.progress(name)
        _measure(row, name, target, A_FEW if bench.quick else tests)
        row.goals.append(Goal(name, row.median(CASE, name), goal, "s"))
    if bench.quick:
        row.notes.append(f"Quick: only {A_FEW}.")
    return row


def _measure(row: Row, name: str, target: str, tests: str) -> None:
    with TemporaryDirectory() as scratch:
        times = Path(scratch, "junit.xml")
        before = processor_time()
        seconds = timed(partial(_make, target, f"{tests} --junit-xml {times}"))
        processor = processor_time() - before
        row.figures.append(Figure(CASE, name, [seconds], "s"))
        row.parts.append(Figure(name, "processor time, the servers' left out", [processor], "s"))
        for folder, added in seconds_by_folder(times).items():
            row.parts.append(Figure(name, f"tests of {folder}, added up", [added], "s"))


def _make(target: str, arguments: str) -> None:
    succeed(["make", target, f"TESTS={arguments}"], ROOT, WITHIN)


def seconds_by_folder(junit: Path) -> dict[str, float]:
    """Return the seconds of the tests in each folder; with several workers, the sum exceeds the whole."""
    added: dict[str, float] = {}
    for case in ET.parse(junit).iter("testcase"):  # noqa: S314 - our own
        folder = "/".join(case.attrib["classname"].split(".")[:2])
        added[folder] = added.get(folder, 0) + float(case.attrib["time"])
    slowest = sorted(added, key=added.__getitem__, reverse=True)
    named = {folder: added[folder] for folder in slowest[:NAMED]}
    others = sum(added[folder] for folder in slowest[NAMED:])
    return {**named, "other folders": others} if others else named
