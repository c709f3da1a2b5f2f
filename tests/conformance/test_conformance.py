"""The peers are as they are known to be, and whatever fails one of them fails without the testbed too."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from . import battery, judge, page, reproduce, subjects

if TYPE_CHECKING:
    from collections.abc import Mapping

PEERS = [subject.name for subject in subjects.found() if subject.is_peer]
ROW = {"id": "lifecycle.thread", "results": {"sqlite": "failed", "mysql": "failed"}}


@pytest.mark.parametrize("subject", PEERS, indirect=True)
def test_outcomes_are_as_known(subject: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    known = judge.expected().get(subject["name"], {})

    assert judge.changes(subject["outcomes"], judge.on(document["backends"], known)) == []


@pytest.mark.parametrize("subject", PEERS, indirect=True)
def test_what_fails_is_reproduced_without_the_testbed(subject: Mapping[str, Any]) -> None:
    assert judge.disagreements(subject["outcomes"], subject["reproduced"]) == []


@pytest.mark.parametrize("subject", ["app"], indirect=True)
def test_the_app_of_this_repository_fails_nothing(subject: Mapping[str, Any]) -> None:
    assert judge.unusual(subject["outcomes"]) == {}


def test_each_known_difference_has_words_and_a_reproduction() -> None:
    failing = {
        check
        for name in PEERS
        for check, by_backend in judge.expected().get(name, {}).items()
        if "failed" in by_backend.values()
    }

    assert failing - page.WORDS.keys() == set()
    assert failing - reproduce.identities().keys() == set()


def test_the_page_is_the_one_that_was_measured(document: Mapping[str, Any]) -> None:
    if {subject["name"] for subject in document["subjects"]} != {it.name for it in subjects.found()}:
        pytest.skip("Not all were asked for.")

    assert page.PAGE.read_text(encoding="utf-8") == page.render(document)


def test_a_change_to_the_better_is_told_as_well() -> None:
    known = {"lifecycle.thread": {"sqlite": "failed"}}

    assert judge.changes({"lifecycle.thread": {"sqlite": "failed"}}, known) == []
    assert judge.changes({"lifecycle.thread": {"sqlite": "passed"}}, known) == [
        "lifecycle.thread on sqlite: passed; known as failed"
    ]
    assert judge.changes({"lifecycle.thread": {"sqlite": "failed"}}, {}) == [
        "lifecycle.thread on sqlite: failed; known as passed"
    ]
    assert judge.changes({}, known) == ["lifecycle.thread on sqlite: not there; known as failed"]
    assert judge.changes({"lifecycle.thread": {"sqlite": "not applicable"}}, known) == [
        "lifecycle.thread on sqlite: not applicable; known as failed"
    ]


def test_the_battery_and_the_reproduction_have_to_agree() -> None:
    fails = {"lifecycle.thread": {"sqlite": "failed"}}
    passes = {"lifecycle.thread": {"sqlite": "passed"}}
    holds, says = {"lifecycle.thread": {"sqlite": "holds"}}, {"lifecycle.thread": {"sqlite": "it leaks"}}

    assert judge.disagreements(fails, says) == judge.disagreements(passes, holds) == []
    assert judge.disagreements(fails, {"lifecycle.thread": {"sqlite": "raised NameError: x"}}) == [
        "lifecycle.thread on sqlite: failed, but without the testbed: raised NameError: x"
    ]
    assert judge.disagreements(fails, {}) == ["lifecycle.thread on sqlite: failed, and has no reproduction"]
    assert judge.disagreements(fails, holds) == [
        "lifecycle.thread on sqlite: failed, but without the testbed: holds"
    ]
    assert judge.disagreements(passes, says) == [
        "lifecycle.thread on sqlite: passed, but without the testbed: it leaks"
    ]


def test_a_claim_that_held_has_not_failed_for_what_was_left_open_after_it() -> None:
    reasons = {"sqlite": "teardown: Failed: left open: 1 session", "mysql": "assert 1 == 0"}

    assert battery.outcome({**ROW, "reasons": reasons}, "sqlite") == "left open"
    assert battery.outcome({**ROW, "reasons": reasons}, "mysql") == "failed"


def test_the_page_says_nothing_of_the_run(document: Mapping[str, Any]) -> None:
    again = deepcopy(dict(document))
    for subject in again["subjects"]:
        subject["reasons"] = {}

    assert page.render(again) == page.render(document)
