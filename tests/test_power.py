"""The proof of power can fail: a specimen that gets away, a false alarm, a check that catches nothing."""

from __future__ import annotations

import pytest

from tests.power import Meeting, find, idle
from tests.specimens import Specimen

CHECK = "lifecycle.request-ends"


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


def test_a_specimen_whose_checks_apply_nowhere_is_a_complaint() -> None:
    assert (
        complaints(meeting("not applicable", "not applicable"))
        == "none of its checks caught it on any backend"
    )


def test_a_backend_that_was_not_run_is_a_complaint() -> None:
    assert "on mysql: missing" in complaints(meeting("failed", backends=("sqlite", "mysql")))


def test_a_check_that_catches_nothing_is_told_unless_it_only_records() -> None:
    assert idle([meeting("passed")], {}) == [f"{CHECK} on sqlite"]
    assert idle([meeting("failed")], {}) == []
    assert idle([meeting("passed")], {CHECK: {"sqlite"}}) == []
    assert idle([meeting("passed")], {CHECK: {"mysql"}}) == [f"{CHECK} on sqlite"]


def test_a_specimen_that_does_not_exist_is_named() -> None:
    with pytest.raises(SystemExit, match="No such specimen: nothing"):
        find(["nothing"])


def test_there_are_forty_specimens_and_each_names_its_check_and_where_it_is_met() -> None:
    found = find([])

    assert len(found) >= 40
    assert all(it.specimen.caught_by and it.specimen.met and it.specimen.mistake for it in found)
