"""The proof fails for a missed specimen, a false alarm, and a check that catches nothing."""

from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.network import expected_capabilities
from tests.meeting import Meeting, find
from tests.power import blameless, checks, idle
from tests.specimens.bindings import ALL, PLAIN, Specimen
from tests.specimens.catalogue import SPECIMENS, TABLES

CHECK = "lifecycle.request-ends"
# Cases without a check yet.
LATER = {14}
# Cases that tests of the harness cover.
OF_THE_HARNESS = {
    61: "test_readiness.py::test_waiting_lasts_until_the_server_can_be_reached_over_tcp",
    62: "test_readiness.py::test_a_server_that_has_just_become_ready_can_be_used",
    63: "test_server_sources.py::test_the_first_installed_driver_is_used",
    64: "test_ends.py::test_nothing_is_left_of_a_killed_run_while_its_forked_process_still_runs",
}


def meeting(wrong: str, corrected: str = "passed", backends: tuple[str, ...] = ("sqlite",)) -> Meeting:
    not_on = {backend: "A reason." for backend in ALL if backend not in backends}
    return Meeting(
        "a_specimen",
        Specimen("A mistake.", met="somewhere", caught_by=(CHECK,), wrong=PLAIN, not_on=not_on),
        wrong={"sqlite": {CHECK: wrong}},
        corrected={"sqlite": {CHECK: corrected}},
    )


def complaints(meeting: Meeting) -> str:
    meeting.judge()
    return "; ".join(meeting.complaints)


def test_a_specimen_that_its_check_catches_gives_no_complaint() -> None:
    assert complaints(meeting("failed")) == ""


@pytest.mark.parametrize("outcome", ["passed", "not run"])
def test_a_missed_specimen_is_a_complaint(outcome: str) -> None:
    assert f"{CHECK} on sqlite: {outcome}, should have failed" in complaints(meeting(outcome))


def test_a_corrected_twin_that_fails_its_check_is_a_complaint() -> None:
    alarmed = meeting("failed", "failed")
    alarmed.alarms = {("sqlite", CHECK): "a reason"}
    assert complaints(alarmed) == f"{CHECK} on sqlite: failed on the corrected twin: a reason"


def test_a_check_that_applies_nowhere_is_a_complaint() -> None:
    assert (
        complaints(meeting("not applicable", "not applicable"))
        == f"{CHECK} caught the specimen on no backend"
    )


def test_a_backend_that_was_not_run_is_a_complaint() -> None:
    assert "on mysql: missing" in complaints(meeting("failed", backends=("sqlite", "mysql")))


def test_a_check_that_catches_nothing_is_listed_unless_no_binding_can_fail_it() -> None:
    assert idle([meeting("passed")], {}) == [f"{CHECK} on sqlite"]
    assert idle([meeting("failed")], {}) == []
    assert idle([meeting("passed")], {CHECK: {"sqlite"}}) == []
    assert idle([meeting("passed")], {CHECK: {"mysql"}}) == [f"{CHECK} on sqlite"]


def test_a_specimen_that_does_not_name_the_check_does_not_count() -> None:
    caught = meeting("failed")
    caught.wrong["sqlite"]["lifecycle.thread"] = "failed"

    assert idle([caught], {}) == ["lifecycle.thread on sqlite"]


def test_an_unknown_specimen_is_named() -> None:
    with pytest.raises(SystemExit, match=r"Unknown specimen nothing\. Choose from: autocommit, "):
        find(["nothing"])


def test_no_two_tables_have_a_specimen_of_the_same_name() -> None:
    assert len(SPECIMENS) == sum(len(table.SPECIMENS) for table in TABLES) >= 59


def test_each_specimen_says_what_is_wrong_and_where_people_met_it() -> None:
    assert all(specimen.mistake and specimen.met and specimen.caught_by for specimen in SPECIMENS.values())


def test_no_two_checks_have_the_same_id() -> None:
    ids = [check.id for check in checks()]

    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("backend", [BACKENDS[name] for name in ALL], ids=ALL)
def test_every_check_that_a_binding_can_fail_is_named_by_a_specimen(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable(backend), raising=False)
    can = expected_capabilities(backend)
    specimens = [specimen for specimen in SPECIMENS.values() if backend.name in specimen.backends]
    named = {check for specimen in specimens for check in specimen.caught_by}
    applicable = [check for check in checks() if can.issuperset(check.needs)]

    assert named <= {check.id for check in checks()}
    assert {check.id for check in applicable if backend.name not in blameless([check])[check.id]} <= named


def test_each_case_of_the_catalogue_is_covered_by_a_check_or_a_test() -> None:
    covered = {case for check in checks() for case in check.cases}

    assert covered == set(range(1, 88)) - LATER - set(OF_THE_HARNESS)
    for place in OF_THE_HARNESS.values():
        file, _, test = place.partition("::")
        assert f"def {test}(" in Path(__file__).with_name("harness").joinpath(file).read_text(
            encoding="utf-8"
        )
