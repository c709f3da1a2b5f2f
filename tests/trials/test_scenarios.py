"""Each scenario's verdict, on a binding that keeps its promises and on some that do not."""

from collections.abc import Iterator

import pytest
from sqlalchemy import insert, make_url

from app.database import db_session, live_sessions
from app.database.sessions import ScopeRegistry
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.databases import Database
from trials.actions import let_go, run
from trials.models import Entry
from trials.mounts import Mounted, mount
from trials.scenarios import ALL
from trials.scenarios.scenario import scenario
from trials.stage import Stage
from trials.verdicts import Result, Verdict

ENDING = [name for name, scenario in ALL.items() if not scenario.leaks]
# Their verdict depends only on the ends of their sessions.
PLAIN = ["commit", "abort-404", "unhandled-error", "nested-context", "async-view", "background-thread"]


def failures(result: Result) -> list[str]:
    return [fact.text for fact in result.facts if not fact.holds]


@pytest.mark.parametrize("name", ENDING)
def test_the_session_ends_as_promised(mounted: Mounted, name: str, testbed_backend: Backend) -> None:
    result = run(ALL[name], mounted)

    if ALL[name].needs <= testbed_backend.capabilities:
        assert (failures(result), result.verdict) == ([], Verdict.KEPT)
    else:
        assert result.verdict is Verdict.NOT_APPLICABLE
        assert result.explanation == f"Not applicable: {testbed_backend.name} lacks server."


def test_a_timeline_has_the_life_of_the_session(mounted: Mounted) -> None:
    kinds = [event["kind"] for event in run(ALL["commit"], mounted).events()]

    order = [
        "context pushed",
        "session begun",
        "connection checked out",
        "statement",
        "session committed",
        "session removed",
        "context popped",
    ]
    assert [kind for kind in dict.fromkeys(kinds) if kind in order] == order
    assert "connection returned" in kinds


def test_scenarios_leave_no_rows(mounted: Mounted, testbed_database: Database) -> None:
    for name in ("commit", "duplicate-key", "nested-context"):
        run(ALL[name], mounted)

    assert testbed_database.connection.rows("SELECT * FROM trial_entry") == []


@pytest.mark.parametrize("name", sorted(ALL))
def test_each_scenario_names_its_promise_and_a_check_of_the_battery(name: str) -> None:
    assert ALL[name].promise.endswith(".")
    assert ALL[name].check in CHECKS


def test_a_leak_stays_until_it_is_let_go(mounted: Mounted) -> None:
    left = run(ALL["leak"], mounted)
    alive = len(mounted.sessions()), mounted.pool()["checked_out"]
    gone = let_go(mounted)

    assert (left.verdict, alive) == (Verdict.OPEN, (1, 1))
    assert failures(left)[:3] == [
        "1 session made, 0 removed",
        "1 connection used, 0 back or closed",
        "1 of these sessions still in the registry",
    ]
    assert (gone.verdict, mounted.sessions(), mounted.pool()["checked_out"]) == (Verdict.GONE, [], 0)
    assert left.events()[-1]["kind"] == "context popped"


def test_the_number_of_leaks_is_limited(mounted: Mounted) -> None:
    outcomes = [run(ALL["leak"], mounted).verdict for _ in range(4)]
    let_go(mounted)

    assert outcomes == [Verdict.OPEN] * 3 + [Verdict.BROKEN]


# --- With a binding that is wrong ---------------------------------------------------------------


@pytest.fixture
def never_ends(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mounted]:
    left = []
    with monkeypatch.context() as wrong:
        wrong.setattr(ScopeRegistry, "end", lambda *_: left.extend(live_sessions()))
        yield mounted
    for session in left:
        session.close()


@pytest.mark.parametrize("name", PLAIN)
def test_a_session_that_does_not_end_breaks_the_promise(never_ends: Mounted, name: str) -> None:
    result = run(ALL[name], never_ends)

    assert result.verdict is Verdict.BROKEN
    assert any("made, 0 removed" in text for text in failures(result))


@pytest.mark.parametrize("name", ["fail-before-commit", "abort-404", "unhandled-error"])
def test_a_commit_in_the_teardown_breaks_the_promise(mounted: Mounted, name: str) -> None:
    mounted.app.teardown_appcontext(lambda _: db_session.commit())

    assert failures(run(ALL[name], mounted)) == ["Committed rows, read outside the app: written"]


def test_a_transaction_that_stays_open_on_the_server_breaks_the_promise(mounted: Mounted) -> None:
    connection = mounted.engine.connect()

    @scenario("kept", "Keep a transaction", check="lifecycle.request-ends")
    def keep(stage: Stage) -> None:
        connection.execute(insert(Entry).values(name=stage.name("kept"), value=0))

    result = run(keep, mounted)
    connection.close()
    found = failures(result)
    assert result.verdict is Verdict.BROKEN
    assert any(words in found[-1] for words in ("1 transaction left", "1 writer left", "The action raised"))


def test_a_database_that_is_down_breaks_no_promise(database_uri: str, testbed_backend: Backend) -> None:
    url = make_url(database_uri)
    elsewhere = url.set(database=f"{url.database}/nowhere").render_as_string(hide_password=False)
    mounted = mount(testbed_backend.name, {"DATABASE_URI": elsewhere}, trials=True)

    result = run(ALL["commit"], mounted)
    mounted.engine.dispose()  # Later tests must find no other engine.
    assert (result.verdict, failures(result)) == (Verdict.AWAY, [])
