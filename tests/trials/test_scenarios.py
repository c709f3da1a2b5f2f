"""Each scenario's verdict, on a binding that keeps its promises and on some that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, make_url

from app.database import db_session, live_sessions
from app.database.sessions import ScopeRegistry
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from trials.actions import let_go, run
from trials.mounts import mount
from trials.results import Outcome, Result
from trials.scenarios import ALL
from trials.scenarios.scenario import scenario
from trials.tables import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.databases import Database
    from trials.mounts import Mounted
    from trials.stage import Stage

ENDING = [name for name, scenario in ALL.items() if not scenario.leaks]
# Of these, what is left of their sessions is all that tells.
PLAIN = ["commit", "abort-404", "unhandled-error", "nested-context", "async-view", "background-thread"]


def failures(result: Result) -> list[str]:
    return [fact.told for fact in result.facts if not fact.holds]


@pytest.mark.parametrize("name", ENDING)
def test_the_session_ends_as_promised(mounted: Mounted, name: str, testbed_backend: Backend) -> None:
    result = run(ALL[name], mounted)

    if ALL[name].needs <= testbed_backend.capabilities:
        assert (failures(result), result.outcome) == ([], Outcome.KEPT)
    else:
        assert result.outcome is Outcome.NOT_APPLICABLE
        assert result.verdict == f"Not applicable: {testbed_backend.name} lacks server."


def test_a_timeline_tells_the_life_of_the_session(mounted: Mounted) -> None:
    told = [event["kind"] for event in run(ALL["commit"], mounted).events()]

    order = [
        "context pushed",
        "session begun",
        "connection checked out",
        "statement",
        "session committed",
        "session removed",
        "context popped",
    ]
    assert [kind for kind in dict.fromkeys(told) if kind in order] == order
    assert "connection returned" in told


def test_nothing_of_a_scenario_stays_in_the_database(mounted: Mounted, testbed_database: Database) -> None:
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

    assert (left.outcome, alive) == (Outcome.OPEN, (1, 1))
    assert failures(left)[:3] == [
        "1 session made, 0 removed",
        "1 connection used, 0 back or closed",
        "1 of these sessions in the registry",
    ]
    assert (gone.outcome, mounted.sessions(), mounted.pool()["checked_out"]) == (Outcome.GONE, [], 0)
    assert left.events()[-1]["kind"] == "context popped"


def test_more_is_not_leaked_than_a_pool_can_bear(mounted: Mounted) -> None:
    outcomes = [run(ALL["leak"], mounted).outcome for _ in range(4)]
    let_go(mounted)

    assert outcomes == [Outcome.OPEN] * 3 + [Outcome.BROKEN]


# --- On a binding that is wrong ---------------------------------------------------------------


@pytest.fixture
def never_ends(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mounted]:
    left: set[Session] = set()
    with monkeypatch.context() as wrong:
        wrong.setattr(ScopeRegistry, "end", lambda *_: left.update(live_sessions()))
        yield mounted
    for session in left:
        session.close()


@pytest.mark.parametrize("name", PLAIN)
def test_a_session_that_does_not_end_is_told(never_ends: Mounted, name: str) -> None:
    result = run(ALL[name], never_ends)

    assert result.outcome is Outcome.BROKEN
    assert any("made, 0 removed" in told for told in failures(result))


@pytest.mark.parametrize("name", ["fail-before-commit", "abort-404", "unhandled-error"])
def test_a_commit_in_the_teardown_is_told(mounted: Mounted, name: str) -> None:
    mounted.app.teardown_appcontext(lambda _: db_session.commit())

    assert failures(run(ALL[name], mounted)) == ["Committed, asked past the app: written"]


def test_a_transaction_that_stays_open_on_the_server_is_told(mounted: Mounted) -> None:
    connection = mounted.engine.connect()

    @scenario("kept", "Keep a transaction", check="lifecycle.request-ends")
    def keep(stage: Stage) -> None:
        connection.execute(insert(Entry).values(name=stage.name("kept"), value=0))

    result = run(keep, mounted)
    connection.close()
    told = failures(result)
    assert result.outcome is Outcome.BROKEN
    assert any(words in told[-1] for words in ("1 transaction left", "1 writer left", "could not be done"))


def test_a_database_that_is_away_is_no_broken_promise(database_uri: str, testbed_backend: Backend) -> None:
    url = make_url(database_uri)
    elsewhere = url.set(database=f"{url.database}/nowhere").render_as_string(hide_password=False)
    mounted = mount(testbed_backend.name, {"DATABASE_URI": elsewhere}, trials=True)

    result = run(ALL["commit"], mounted)
    mounted.engine.dispose()  # Nobody else's engine is live beside those of the tests to come.
    assert (result.outcome, failures(result)) == (Outcome.AWAY, [])
