"""The proof of power can fail: a specimen that gets away, a false alarm, a check that catches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import expected_capabilities
from tests.meeting import Meeting, find
from tests.power import blameless, checks, idle
from tests.specimens import Specimen

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend

CHECK = "lifecycle.request-ends"
# What is left for later.
LATER = {14, 32, 57}
# What the harness's own readiness answers for.
OF_THE_HARNESS = {
    61: "test_readiness.py::test_a_server_that_cannot_be_reached_over_tcp_yet_is_waited_for",
    62: "test_readiness.py::test_every_cold_start_is_ready_when_it_says_so",
    63: "test_readiness.py::test_the_url_of_a_throwaway_server_names_the_driver_installed",
    64: "test_ends.py::test_nothing_is_left_of_a_run_that_was_killed_even_while_its_child_lives",
}


@pytest.fixture(scope="module")
def specimens() -> list[Meeting]:
    return find([])


def meeting(wrong: str, corrected: str = "passed", backends: tuple[str, ...] = ("sqlite",)) -> Meeting:
    specimen = Specimen(mistake="A mistake.", met="somewhere", caught_by=(CHECK,), backends=backends)
    return Meeting("it", specimen, wrong={"sqlite": {CHECK: wrong}}, corrected={"sqlite": {CHECK: corrected}})


def complaints(it: Meeting) -> str:
    it.judge()
    return "; ".join(it.complaints)


def test_a_specimen_that_its_check_catches_is_no_complaint() -> None:
    assert complaints(meeting("failed")) == ""


@pytest.mark.parametrize("outcome", ["passed", "not run"])
def test_a_specimen_that_gets_away_is_a_complaint(outcome: str) -> None:
    assert f"{CHECK} on sqlite: {outcome}, should have failed" in complaints(meeting(outcome))


def test_a_corrected_twin_that_its_check_fails_is_a_complaint() -> None:
    assert complaints(meeting("failed", "failed")) == f"{CHECK} on sqlite: failed on the corrected twin"


def test_a_check_that_applies_nowhere_is_a_complaint() -> None:
    assert complaints(meeting("not applicable", "not applicable")) == f"{CHECK} caught it on no backend"


def test_a_backend_that_was_not_run_is_a_complaint() -> None:
    assert "on mysql: missing" in complaints(meeting("failed", backends=("sqlite", "mysql")))


def test_a_check_that_catches_nothing_is_told_unless_it_only_records() -> None:
    assert idle([meeting("passed")], {}) == [f"{CHECK} on sqlite"]
    assert idle([meeting("failed")], {}) == []
    assert idle([meeting("passed")], {CHECK: {"sqlite"}}) == []
    assert idle([meeting("passed")], {CHECK: {"mysql"}}) == [f"{CHECK} on sqlite"]


def test_what_a_check_caught_by_accident_does_not_count() -> None:
    it = meeting("failed")
    it.wrong["sqlite"]["lifecycle.thread"] = "failed"

    assert idle([it], {}) == ["lifecycle.thread on sqlite"]


def test_a_specimen_that_does_not_exist_is_named() -> None:
    with pytest.raises(SystemExit, match="No such specimen: nothing"):
        find(["nothing"])


def test_there_are_forty_specimens_and_each_names_its_check_and_where_it_is_met(
    specimens: list[Meeting],
) -> None:
    assert len(specimens) >= 40
    assert all(it.specimen.caught_by and it.specimen.met and it.specimen.mistake for it in specimens)


def test_no_two_checks_have_the_same_id() -> None:
    ids = [it.id for it in checks()]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("backend", BACKENDS.values(), ids=BACKENDS)
def test_every_check_that_a_binding_can_fail_is_named_by_a_specimen(
    backend: Backend, specimens: list[Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable(backend), raising=False)
    can = expected_capabilities(backend)
    named = {
        check for it in specimens if backend.name in it.specimen.backends for check in it.specimen.caught_by
    }

    assert named <= {it.id for it in checks()}
    assert {
        it.id for it in checks() if can.issuperset(it.needs) and backend.name not in blameless([it])[it.id]
    } <= named


def test_each_case_of_the_catalogue_is_covered_by_a_check_or_a_test() -> None:
    covered = {case for it in checks() for case in it.cases}

    assert covered == set(range(1, 71)) - LATER - set(OF_THE_HARNESS)
    for place in OF_THE_HARNESS.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in Path(__file__).with_name("harness").joinpath(file).read_text(
            encoding="utf-8"
        )
