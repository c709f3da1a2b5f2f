"""`--testbed-check` selects checks by their ids, and `--testbed-exclude` leaves some out."""

import pytest

from tests.harness.projects import Project

ON_REQUEST = """
    from flask_sqlalchemy_testbed.checks.check import check
    from flask_sqlalchemy_testbed.checks.definition import Check

    @check(Check("faults.on-request", "It runs on request.", option="failover"))
    def test_on_request():
        pass

    @check(Check("faults.always", "It always runs."))
    def test_always():
        pass
"""
TWO_CHECKS = """
    from flask_sqlalchemy_testbed.checks.check import check
    from flask_sqlalchemy_testbed.checks.definition import Check

    @check(Check("faults.first", "It holds."))
    def test_first():
        pass

    @check(Check("faults.second", "It holds."))
    def test_second():
        pass

    def test_that_is_no_check():
        pass
"""


def test_only_the_named_check_runs(project: Project) -> None:
    project.write(TWO_CHECKS)
    outcome = project.run("--testbed-check", "faults.second", "-v")

    assert "1 passed, 2 deselected" in outcome.text
    assert "::test_second" in outcome.text


def test_an_unknown_id_is_refused_without_a_matrix(project: Project) -> None:
    project.write(TWO_CHECKS)
    outcome = project.run("--testbed-check", "nonsense")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    assert outcome.lines("ERROR") == [
        "ERROR: Unknown check nonsense. List all checks: flask-sqlalchemy-testbed --list."
    ]
    assert "not run" not in outcome.text


def test_excluded_checks_do_not_run(project: Project) -> None:
    project.write(TWO_CHECKS)
    given = project.run("--testbed-exclude", "faults.second", "-v")
    (project.path / "pytest.ini").write_text("[pytest]\ntestbed_exclude = faults.first faults.second\n")
    configured = project.run()

    assert "2 passed, 1 deselected" in given.text
    assert "::test_second" not in given.text
    assert "1 passed, 2 deselected" in configured.text


def test_an_option_includes_the_checks_that_name_it(project: Project) -> None:
    project.write(ON_REQUEST)
    without = project.run()
    given = project.run("--testbed-failover")
    named = project.run("--testbed-check", "faults.on-request")

    assert without.lines("=")[-1].strip("= ").startswith("1 passed, 1 deselected")
    assert given.lines("=")[-1].strip("= ").startswith("2 passed in")
    assert named.lines("=")[-1].strip("= ").startswith("1 passed, 1 deselected")


@pytest.mark.bad_day
def test_a_check_that_is_chosen_and_excluded_does_not_run(project: Project) -> None:
    project.write(TWO_CHECKS)
    (project.path / "pytest.ini").write_text("[pytest]\ntestbed_exclude = faults.first\n")
    outcome = project.run("--testbed-check", "faults.first")

    assert outcome.code == pytest.ExitCode.NO_TESTS_COLLECTED
    assert outcome.lines("ERROR") == []


def test_an_unknown_id_cannot_be_excluded_and_one_of_the_battery_can(project: Project) -> None:
    project.write(TWO_CHECKS)
    unknown = project.run("--testbed-exclude", "faults.frist")
    of_battery = project.run("--testbed-exclude", "lifecycle.request-ends")

    assert unknown.code == pytest.ExitCode.USAGE_ERROR
    assert unknown.lines("ERROR")[0].startswith(
        "ERROR: Unknown check faults.frist. Did you mean faults.first"
    )
    assert "3 passed" in of_battery.text
