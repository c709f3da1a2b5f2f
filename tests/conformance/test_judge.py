"""A difference between measured and expected outcomes is reported, for better or worse."""

import re
import tomllib

import pytest

from . import battery, environments, judge, page, reproduce, subjects

CHECK = "lifecycle.thread"
FAILED, PASSED, NOT_APPLICABLE = (
    {CHECK: {"sqlite": outcome}} for outcome in ("failed", "passed", "not applicable")
)
ROW = {"id": CHECK, "results": {"sqlite": "failed", "mysql": "failed"}}


@pytest.mark.parametrize(
    ("outcomes", "known", "lines"),
    [
        (FAILED, FAILED, []),
        (NOT_APPLICABLE, {}, []),
        (FAILED, {}, [f"{CHECK} on sqlite: failed, expected: passed"]),
        (PASSED, FAILED, [f"{CHECK} on sqlite: passed, expected: failed"]),
        (NOT_APPLICABLE, FAILED, [f"{CHECK} on sqlite: not applicable, expected: failed"]),
        ({}, FAILED, [f"{CHECK} on sqlite: missing, expected: failed"]),
    ],
)
def test_every_difference_is_reported(
    outcomes: battery.Table, known: battery.Table, lines: list[str]
) -> None:
    assert judge.differences(outcomes, known) == lines


@pytest.mark.parametrize(
    ("outcomes", "message", "says"),
    [
        (FAILED, "it leaks", None),
        (PASSED, "holds", None),
        (FAILED, "holds", "failed, but its reproduction says: holds"),
        (PASSED, "it leaks", "passed, but its reproduction says: it leaks"),
        (FAILED, "raised NameError: x", "failed, but its reproduction says: raised NameError: x"),
        (FAILED, None, "failed, and has no reproduction"),
    ],
)
def test_battery_and_reproduction_have_to_agree(
    outcomes: battery.Table, message: str | None, says: str | None
) -> None:
    reproduced = {CHECK: {"sqlite": message}} if message else {}

    lines = judge.disagreements(outcomes, reproduced)

    assert lines == ([f"{CHECK} on sqlite: {says}"] if says else [])


def test_a_check_that_only_left_something_open_has_not_failed() -> None:
    reasons = {"sqlite": "teardown: Failed: left open: 1 session", "mysql": "assert 1 == 0"}

    assert battery.outcome({**ROW, "reasons": reasons}, "sqlite") == "left open"
    assert battery.outcome({**ROW, "reasons": reasons}, "mysql") == "failed"


def test_the_app_of_this_repository_is_expected_to_pass_every_check() -> None:
    assert judge.expected()["app"] == {}


def test_each_expected_failure_of_a_peer_has_words_and_a_reproduction() -> None:
    peers = [subject.name for subject in subjects.find_subjects() if subject.is_peer]
    failing = {
        check
        for name in peers
        for check, by_backend in judge.expected()[name].items()
        if "failed" in by_backend.values()
    }

    assert failing - page.WORDS.keys() == set()
    assert failing - reproduce.tests().keys() == set()


def test_outcomes_on_other_backends_stay() -> None:
    before = {CHECK: {"mysql": "failed", "sqlite": "failed"}, "faults.x": {"sqlite": "failed"}}

    assert judge.merged(before, {}, ["sqlite"]) == {CHECK: {"mysql": "failed"}}
    assert judge.merged(before, {"faults.y": {"sqlite": "left open"}}, ["sqlite"]) == {
        CHECK: {"mysql": "failed"},
        "faults.y": {"sqlite": "left open"},
    }


@pytest.mark.parametrize("subject", subjects.find_subjects(), ids=lambda subject: subject.name)
def test_the_environment_of_a_subject_has_all_packages_of_the_battery(subject: subjects.Subject) -> None:
    project = tomllib.loads((environments.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {_name(line) for line in project["dependencies"]}
    locked = (subject.folder / "requirements.txt").read_text(encoding="utf-8").splitlines()

    assert needed - set(map(_name, locked)) == set()


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower()
