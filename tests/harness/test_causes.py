"""Failures are grouped by their causes, in the order in which a person should mend them."""

import json
import re
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.checks.causes import (
    CAUSES,
    FOREIGN_KEYS_OFF,
    PART_OF_GROUP,
    SCOPED_BY_THREAD,
    SESSIONS_STAY_OPEN,
)
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import GROUPS
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES
from flask_sqlalchemy_testbed.report.causes import Group, begin_with, groups
from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report
from tests.harness.projects import Project
from tests.harness.reports import report, row
from tests.harness.shops import FACTORY, WITHOUT_REMOVE

ROOT = Path(__file__).parents[2]
EXPECTED = json.loads((ROOT / "tests" / "conformance" / "expected.json").read_text(encoding="utf-8"))
LEAK = "left open: 1 connection, 1 session"
BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app")


def failed(check: str, reason: str = "assert 1 == 2", *backends: str) -> CheckRow:
    """Return the row of a check of the battery that failed."""
    one = CHECKS[check]
    data = {"severity": str(one.severity), "cause": one.cause, "default_of": one.default_of}
    on = backends or ("sqlite",)
    return row(check, one.claim, dict.fromkeys(on, "failed"), dict.fromkeys(on, reason), **data)


def with_rows(*rows: CheckRow, **subject: str) -> Report:
    return {**report(), "checks": list(rows), "subject": {"app": "shop:create_app", **subject}}


def ids(found: list[Group]) -> list[list[str]]:
    return [[one["id"] for one in group.rows] for group in found]


def failures_of(subject: str, outcome: str = "failed") -> set[str]:
    return {check for check, on in EXPECTED[subject].items() if outcome in on.values()}


def test_each_cause_and_each_group_of_checks_is_known() -> None:
    assert {check.cause for check in CHECKS.values()} - {""} <= CAUSES.keys()
    assert {cause.shown_by for cause in CAUSES.values()} - {""} <= CHECKS.keys()
    assert list(PART_OF_GROUP) == list(GROUPS)


def test_the_app_s_mistakes_come_before_defaults_and_the_most_severe_first() -> None:
    found = groups(
        with_rows(
            failed("portability.foreign-keys"),
            failed("portability.same-settings"),
            failed("faults.pool-exhausted"),
            failed("transactions.rolls-back"),
        )
    )

    assert ids(found) == [
        ["transactions.rolls-back"],
        ["faults.pool-exhausted"],
        ["portability.same-settings"],
        ["portability.foreign-keys"],
    ]
    assert [group.default for group in found] == ["", "", "", "This is a default of SQLite."]


def test_one_cause_is_one_entry_on_all_backends() -> None:
    found = groups(
        with_rows(
            failed("faults.restart", "broken pipe", "postgresql", "mysql"),
            failed("faults.idle-timeout", "gone away", "mysql"),
        )
    )

    assert ids(found) == [["faults.restart", "faults.idle-timeout"]]


def test_consequences_belong_to_the_cause_only_if_the_check_that_shows_it_failed_too() -> None:
    consequences = [failed("transactions.fresh-reads"), failed("portability.time-zone", f"teardown: {LEAK}")]
    shown = failed("lifecycle.request-ends", f"Failed: {LEAK}")

    assert ids(groups(with_rows(*consequences, shown))) == [
        ["lifecycle.request-ends", "transactions.fresh-reads", "portability.time-zone"]
    ]
    alone = groups(with_rows(*consequences))
    assert ids(alone) == [["transactions.fresh-reads"], ["portability.time-zone"]]
    assert alone[0].summary == ""
    assert alone[0].cases
    assert alone[1].cases == []
    assert alone[1].summary == "The claims hold, but the app left something open after the check."


def test_a_session_that_is_not_removed_explains_all_that_its_removal_mends() -> None:
    """The peers differ in one line, the removal; their outcomes are measured by `make conformance`."""
    mended = failures_of("pattern_2010") - failures_of("pattern_2010_removed")

    left_open = {"isolation.nothing-for-the-collector"}
    by_pre_ping = {"faults.stopped-mid-query"}
    assert {check for check in mended if CHECKS[check].cause != SESSIONS_STAY_OPEN} <= left_open | by_pre_ping


def test_each_library_fails_by_itself_as_its_conformance_shows() -> None:
    for library in LIBRARIES.values():
        if library.module in EXPECTED:
            own = {check for check in failures_of(library.module) if not CHECKS[check].default_of}
            assert own == set(library.fails), library.name


def test_a_library_s_own_fault_is_not_the_app_s() -> None:
    checks = [failed("lifecycle.later-context"), failed("faults.restart"), failed("transactions.rolls-back")]

    of_library = groups(with_rows(*checks, library="Flask-SQLAlchemy"))

    assert [group.default for group in of_library] == [
        "",
        "Flask-SQLAlchemy fails this check by itself.",
        "This is a default of SQLAlchemy, and Flask-SQLAlchemy keeps it.",
    ]
    assert [group.label for group in of_library] == [
        "data at risk",
        "data at risk, a library's default",
        "availability, a library's default",
    ]
    assert groups(with_rows(checks[0]))[0].default == ""


def test_a_remedy_is_written_in_the_terms_of_the_app() -> None:
    leak, ping = failed("lifecycle.request-ends"), failed("faults.restart")
    keys = failed("portability.foreign-keys")

    plain = groups(with_rows(leak, ping, keys, session_name="db_session", engine_name="engine"))
    flask_sqlalchemy = groups(
        with_rows(
            leak, ping, keys, library="Flask-SQLAlchemy", session_name="db.session", engine_name="db.engine"
        )
    )

    assert "app.teardown_appcontext(lambda error: db_session.remove())" in plain[0].remedy
    assert "event.listen(engine, " in plain[1].remedy
    assert plain[2].remedy == "Add pool_pre_ping=True to create_engine()."
    assert "db.session.remove()" in flask_sqlalchemy[0].remedy
    assert "event.listen(db.engine, " in flask_sqlalchemy[1].remedy
    assert flask_sqlalchemy[2].remedy == 'Add engine_options={"pool_pre_ping": True} to SQLAlchemy().'


def mended(source: str, old: str, new: str, imports: str = "") -> str:
    assert old in source
    return imports + source.replace(old, new)


PLAIN_SCOPE = 'scoped_session(lambda: Session(current_app.extensions["engine"]))'


@pytest.mark.parametrize("cause", [SESSIONS_STAY_OPEN, SCOPED_BY_THREAD, FOREIGN_KEYS_OFF])
def test_the_code_in_a_remedy_mends_its_cause(project: Project, cause: str) -> None:
    one = CAUSES[cause]
    remedy = one.remedy_in(session="db_session", engine='app.extensions["engine"]', option="", note="")
    code = remedy.removesuffix(".").partition(": ")[2]
    checks = {
        SESSIONS_STAY_OPEN: ["lifecycle.request-ends", "lifecycle.context-ends"],
        SCOPED_BY_THREAD: ["lifecycle.nested-contexts", "lifecycle.async-view"],
        FOREIGN_KEYS_OFF: ["portability.foreign-keys", "portability.cascade"],
    }[cause]
    before = WITHOUT_REMOVE if cause == SESSIONS_STAY_OPEN else FACTORY
    if cause == SCOPED_BY_THREAD:
        scope = code.replace("(...", PLAIN_SCOPE.removeprefix("scoped_session").removesuffix(")"))
        imports = "from threading import get_ident\nfrom flask.globals import app_ctx\n"
        after = mended(before, PLAIN_SCOPE, scope, imports)
    else:
        imports = "from sqlalchemy import event\n"
        after = mended(before, "    return app\n", f"    {code}\n    return app\n", imports)
    words = [word for check in checks for word in ("--testbed-check", check)]

    project.write(before, "shop.py")
    broken = project.run(*BATTERY, *words, "-q")
    project.write(after, "shop.py")
    whole = project.run(*BATTERY, *words, "-q")

    assert "2 failed" in broken.text
    assert "2 passed" in whole.text, after + whole.text


def test_the_advice_names_the_first_check_its_place_and_its_remedy() -> None:
    places = {"factory_at": "shop.py:7", "engine_at": "shop.py:9", "session_name": "db_session"}
    leaks = [failed("lifecycle.request-ends"), failed("transactions.fresh-reads")]

    assert begin_with(with_rows(failed("portability.foreign-keys"), *leaks, **places)) == (
        "Begin with lifecycle.request-ends, in shop.py:7. Sessions stay open after their app context."
        " 2 of 3 failed checks have this cause. In the factory, remove the session at the end of each"
        " context: app.teardown_appcontext(lambda error: db_session.remove())."
    )
    assert begin_with(with_rows(failed("portability.foreign-keys"), **places)).startswith(
        "Begin with portability.foreign-keys, in shop.py:9. Foreign keys are not checked. This is a default"
    )
    assert begin_with(with_rows()) == ""


def test_a_report_of_an_older_version_is_still_grouped() -> None:
    older = report()

    (group,) = groups(older)

    assert (group.severity, group.default, group.at, group.remedy) == ("", "", "", "Mend it.")


def test_the_advice_is_above_the_findings_and_below_all_other_lines(project: Project) -> None:
    project.write(WITHOUT_REMOVE, "shop.py")
    outcome = project.run(
        *BATTERY, "--testbed-check", "lifecycle.request-ends", "--testbed-report", "report", "-n", "2"
    )

    line = r"Begin with lifecycle\.request-ends, in shop\.py:16\."
    lines = outcome.text.splitlines()
    found = [number for number, text in enumerate(lines) if re.match(line, text)]
    assert len(found) == 2
    assert found[0] < lines.index("Cause 1 of 1, availability: Sessions stay open after their app context.")
    assert found[1] > next(number for number, text in enumerate(lines) if re.search(r"1 failed.* in ", text))
    for file in ("index.html", "summary.md"):
        assert re.search(line, (project.path / "report" / file).read_text(encoding="utf-8"))
