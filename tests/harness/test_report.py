import json
import re
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.report.matrix import SCHEMA
from tests.harness.conftest import with_servers_of_this_run
from tests.harness.projects import Outcome, Project

BATTERY = """
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool
    import pytest

    from flask_sqlalchemy_testbed.checks.check import check
    from flask_sqlalchemy_testbed.checks.definition import Check

    @pytest.fixture
    def engine(database_uri):
        engine = create_engine(database_uri, poolclass=NullPool)
        with engine.connect() as connection:
            connection.execute(text("SELECT 4710"))
        return engine

    @check(Check("binding.holds", "It holds.", cases=(2,)))
    def test_holds(engine):
        with engine.connect() as connection:
            connection.execute(text("SELECT 4711"))

    @check(Check("lifecycle.breaks", "It breaks.", cases=(15,), remedy="Mend it."))
    def test_breaks(testbed_database):
        print("before it broke")
        assert 1 == 2, "broken"

    @check(Check("lifecycle.breaks", "It breaks.", cases=(15,), remedy="Mend it."))
    def test_does_not_break(testbed_database):
        pass

    @check(Check("lifecycle.leaks", "It leaks.", cases=(16,)))
    def test_leaks(database_uri):
        global leak
        leak = create_engine(database_uri).connect()
        leak.execute(text("SELECT 1"))

    @check(Check("lifecycle.leaks", "It leaks.", cases=(16,)))
    def test_fails_and_leaks(database_uri):
        test_leaks(database_uri)
        assert 1 == 2

    @check(Check("faults.elsewhere", "It is elsewhere.", cases=(50,), needs=("server", "embedded")))
    def test_elsewhere(testbed_database):
        pass

    @check(Check("binding.asks", "It asks past all engines.", cases=(1,)))
    def test_asks(testbed_database):
        assert testbed_database.connection.rows("SELECT 4712") == [(4712,)]

    def test_no_check(testbed_database):
        pass
"""


@dataclass
class Ran:
    """The result of one run of the battery above, on all backends of this run."""

    backends: list[str]
    outcome: Outcome
    matrix: dict[str, Any]
    report: dict[str, Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Ran:
    project = with_servers_of_this_run(Project(tmp_path_factory.mktemp("battery")), pytestconfig)
    project.write(BATTERY)
    outcome = project.run("--testbed-matrix", "build/matrix.json", "--testbed-report", "build/report")
    matrix, report = (
        json.loads((project.path / "build" / name).read_text())
        for name in ("matrix.json", "report/evidence.json")
    )
    return Ran(project.backends, outcome, matrix, report)


@pytest.fixture
def battery(project: Project) -> Project:
    project.write(BATTERY)
    return project


def matrix(project: Project, *options: str) -> tuple[dict[str, Any], Outcome]:
    outcome = project.run("--testbed-matrix", "build/matrix.json", *options)
    return json.loads((project.path / "build" / "matrix.json").read_text()), outcome


def results(found: dict[str, Any], backend: str) -> dict[str, str]:
    return {row["id"]: row["results"].get(backend) for row in found["checks"]}


def test_the_matrix_has_the_outcome_of_every_check_on_every_backend(ran: Ran) -> None:
    for backend in ran.backends:
        assert results(ran.matrix, backend) == {
            "binding.asks": "passed",
            "binding.holds": "passed",
            "lifecycle.breaks": "failed",
            "lifecycle.leaks": "failed",
            "faults.elsewhere": "not applicable",
        }
    assert ran.outcome.code == 1
    breaks, leaks, elsewhere = ran.matrix["checks"][2:]
    (backend, *_) = ran.backends
    assert breaks["reasons"][backend].startswith("AssertionError: broken")
    reasons = leaks["reasons"][backend].splitlines()
    assert [reason.partition(",")[0] for reason in reasons] == [
        "teardown: Failed: left open: 1 connection",
        "assert 1 == 2",
    ]
    assert re.search(r", the first opened at \S+:\d+ in \w+$", reasons[0])
    assert (
        elsewhere["reasons"][backend] == f"{backend} lacks {'server' if backend == 'sqlite' else 'embedded'}"
    )
    assert (breaks["claim"], breaks["cases"], breaks["remedy"]) == ("It breaks.", [15], "Mend it.")


def test_the_matrix_matches_its_schema(ran: Ran, pytestconfig: pytest.Config) -> None:
    jsonschema.validate(ran.matrix, json.loads(SCHEMA.read_text()))
    for name, facts in ran.matrix["servers"].items():
        backend = state.run_of(pytestconfig).servers[name]
        assert facts["version"] == backend.version
        assert facts["settings"]
    assert list(ran.matrix["servers"]) == ran.backends
    assert ran.matrix["software"]["SQLAlchemy"]


def test_checks_after_an_aborted_run_are_not_run(battery: Project) -> None:
    found, _ = matrix(battery, "-x")

    ran = results(found, "sqlite")
    assert (ran["lifecycle.breaks"], ran["binding.asks"]) == ("failed", "not run")


def test_checks_that_are_not_selected_are_not_in_the_matrix(battery: Project) -> None:
    found, _ = matrix(battery, "-k", "holds or elsewhere")

    assert list(results(found, "sqlite")) == ["binding.holds", "faults.elsewhere"]


def test_a_skipped_check_is_not_run(project: Project) -> None:
    project.write(
        """
        import pytest
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        @check(Check("binding.holds", "It holds."))
        def test_holds(testbed_database):
            pass

        @check(Check("binding.skipped", "It is skipped."))
        def test_skipped(testbed_database):
            pytest.skip("no wish")
        """
    )
    found, _ = matrix(project)

    _, row = found["checks"]
    assert set(row["results"].values()) == {"not run"}
    assert set(row["reasons"].values()) == {"Skipped: no wish"}


def test_an_expected_failure_is_failed(project: Project) -> None:
    project.write(
        """
        import pytest
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        @pytest.mark.xfail(reason="known", strict=True)
        @check(Check("binding.known", "It is known."))
        def test_known(testbed_database):
            assert 1 == 2
        """
    )
    found, outcome = matrix(project)

    assert outcome.code == 0
    assert set(found["checks"][0]["results"].values()) == {"failed"}


def test_the_terminal_shows_every_check_and_the_remedies(ran: Ran) -> None:
    text = ran.outcome.text

    words = " +".join(["failed"] * len(ran.backends))
    assert re.search(rf"^lifecycle +{' +'.join(ran.backends)}$", text, re.MULTILINE)
    assert re.search(rf"^  breaks +{words}$", text, re.MULTILINE)
    everywhere = ", ".join(ran.backends)
    # Without the line breaks, which depend on the width of the terminal.
    assert (
        f"remedy: Mend it. lifecycle.breaks failed on {everywhere} claim: It breaks."
        " evidence: AssertionError: broken (assert 1 == 2) reported: Some requests leak their connections,"
        " until the pool is empty. https://github.com/pallets-eco/flask-sqlalchemy/issues/339 "
    ) in " ".join(text.split())


def test_the_terminal_shows_no_matrix_if_quiet_or_without_checks(battery: Project) -> None:
    assert "battery:" not in battery.run("-q").text
    assert "battery:" not in battery.run("-k", "no_check").text


def test_the_evidence_has_statements_sources_and_output(ran: Ran) -> None:
    report = ran.report

    for backend in ran.backends:
        ((holds,), (asks,), (leaks, fails_and_leaks)) = (
            report["evidence"][check][backend]
            for check in ("binding.holds", "binding.asks", "lifecycle.leaks")
        )
        statements = [event["text"] for event in holds["timeline"] if event["kind"] == "statement"]
        assert statements == ["SELECT 4711"]
        assert holds["timeline"][-1]["kind"] == "connection closed"
        assert "def test_holds" in holds["source"]
        assert [event["text"] for event in asks["timeline"]] == ["SELECT 4712"]
        assert "left open: 1 connection" in leaks["failure"]
        assert "left open: 1 connection" in dict(fails_and_leaks["sections"])["left open"]
        breaks = report["evidence"]["lifecycle.breaks"][backend][0]
        assert ["Captured stdout call", "before it broke"] in breaks["sections"]
        assert "--testbed-keep-failed" in dict(breaks["sections"])["rerun with its server and rows kept"]


def test_the_evidence_has_the_log_of_the_server_since_the_check_began(
    project_of_its_own: Project,
) -> None:
    """Let PostgreSQL log an error; only containers have a log that can be read."""
    project_of_its_own.write(
        """
        import contextlib
        from flask_sqlalchemy_testbed.checks.check import check
        from flask_sqlalchemy_testbed.checks.definition import Check

        @check(Check("binding.errs", "It errs."))
        def test_errs(testbed_database):
            with contextlib.suppress(Exception):
                testbed_database.connection.rows("SELECT * FROM missing_table")
        """
    )
    project_of_its_own.run("--testbed-report", "report")
    report = json.loads((project_of_its_own.path / "report" / "evidence.json").read_text())

    logs = {name: tests[0]["log"] for name, tests in report["evidence"]["binding.errs"].items()}
    assert logs.get("sqlite") is None
    assert "postgresql" not in logs or 'relation "missing_table" does not exist' in logs["postgresql"]


def test_a_run_without_a_report_does_not_import_the_recorder(battery: Project) -> None:
    battery.write(
        """
        import sys

        def test_not_even_loaded():
            assert "flask_sqlalchemy_testbed.timeline.recorder" not in sys.modules
        """,
        name="test_last.py",
    )

    assert battery.run_anew("-k", "holds or not_even").code == 0
