"""What belongs together stays together: savepoints, errors, locks, snapshots."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError

from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, at_once
from flask_sqlalchemy_testbed.checks.check import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.backends.connection import Connection
    from flask_sqlalchemy_testbed.battery.conftest import Trial

# How a transaction begins, and how one whose reads all see the same.
BEGIN = {
    "sqlite": ("BEGIN",),
    "postgresql": ("BEGIN ISOLATION LEVEL READ COMMITTED",),
    "mysql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN"),
}
BEGIN_REPEATABLE = {**BEGIN, "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ",)}
# How long the asker waits for the locks of others; MySQL counts in seconds.
SHORTLY = {"postgresql": "SET lock_timeout = '100ms'", "mysql": "SET lock_wait_timeout = 1"}

# What the server says to whoever wants to drop a table that an open transaction has read.
DROP_REFUSED = {"postgresql": "lock timeout", "mysql": "Lock wait timeout"}
# What the next statement meets after one has failed in the same transaction.
AFTER_AN_ERROR = {"sqlite": "", "postgresql": "current transaction is aborted", "mysql": ""}
# What a second read in the same transaction sees of what another has committed meanwhile.
READ_AGAIN = {"sqlite": "old", "postgresql": "new", "mysql": "old"}
# What an update meets of a row that another has changed since this transaction read it.
LOST_UPDATE = {"sqlite": "database is locked", "postgresql": "could not serialize", "mysql": ""}
# How many rows written before a CREATE TABLE are left after the rollback.
LEFT_BY_DDL = {"sqlite": 0, "postgresql": 0, "mysql": 1}
# What the release of a savepoint meets after a CREATE TABLE.
AFTER_DDL = {"sqlite": "", "postgresql": "", "mysql": "SAVEPOINT s does not exist"}


def refusal(connection: Connection, statement: str) -> str:
    """What the server says against the statement; nothing when it does it."""
    try:
        connection.rows(statement)
    except Exception as error:  # noqa: BLE001 - each driver has its own
        return str(error)
    return ""


def assert_says(said: str, expected: str) -> None:
    assert expected in said
    assert bool(said) == bool(expected)


@check("transactions.rolls-back")
def test_rolls_back(trial: Trial) -> None:
    with trial.app().app_context():
        trial.session.add(Item(name="rolled back"))
        trial.session.flush()
        seen = trial.names()
        trial.session.rollback()

    assert seen == [], "what was only flushed is there for others"
    assert trial.names() == [], "what was rolled back is there"


@check("transactions.savepoint-released")
def test_savepoint_released(trial: Trial) -> None:
    with trial.app().app_context():
        with trial.session.begin_nested():
            trial.session.add(Item(name="nested"))
        trial.session.rollback()

    assert trial.names() == [], "the savepoint's row has outlived the rollback of all"


@check("transactions.error-in-savepoint")
def test_error_in_savepoint(trial: Trial) -> None:
    with trial.app().app_context():
        trial.session.add(Item(name="before"))
        trial.session.flush()
        with pytest.raises(DBAPIError), trial.session.begin_nested():
            trial.session.execute(text("SELECT nothing FROM testbed_nowhere"))
        trial.session.add(Item(name="after"))
        trial.session.commit()

    assert trial.names() == ["before", "after"], "what is committed is not all but the savepoint's"


@check("transactions.raw-connection-is-reset")
def test_raw_connection_is_reset(trial: Trial) -> None:
    app = trial.app()
    connection = trial.engine(app).raw_connection()
    connection.cursor().execute("INSERT INTO testbed_item (name) VALUES ('left')")
    connection.close()
    trial.assert_nothing_open()

    with app.app_context():
        trial.session.add(Item(name="next"))
        trial.session.commit()
    assert trial.names() == ["next"], "what the last user left uncommitted is committed by the next"


@check("transactions.fresh-reads")
def test_fresh_reads(trial: Trial) -> None:
    app = trial.app()
    cached = []

    @app.get("/testbed/name")
    def name() -> str:
        cached.append(trial.session.get(Item, 1))
        return str(cached[-1].name)

    outside = trial.database.connection
    outside.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'old')")
    assert app.test_client().get("/testbed/name").text == "old"
    outside.rows("UPDATE testbed_item SET name = 'new'")

    assert app.test_client().get("/testbed/name").text == "new", "the request was not shown what is committed"


@check("transactions.reader-lets-go")
def test_reader_lets_go(trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    app = trial.app()
    app.add_url_rule(
        "/testbed/read",
        view_func=lambda: str(trial.session.scalars(text("SELECT id FROM testbed_extra")).all()),
    )
    trial.database.connection.rows("CREATE TABLE testbed_extra (id INTEGER)")
    assert app.test_client().get("/testbed/read").text == "[]", "the table cannot be read"
    dropper = connect()
    dropper.rows(SHORTLY[testbed_backend.name])

    assert refusal(dropper, "DROP TABLE testbed_extra") == "", (
        "the table that a request had read cannot be dropped"
    )


@check("transactions.reader-blocks-drop")
def test_reader_blocks_drop(
    trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend
) -> None:
    reader, dropper = connect(), connect()
    trial.database.connection.rows("CREATE TABLE testbed_extra (id INTEGER)")
    reader.run(["BEGIN", "SELECT id FROM testbed_extra"])
    dropper.rows(SHORTLY[testbed_backend.name])

    assert DROP_REFUSED[testbed_backend.name] in refusal(dropper, "DROP TABLE testbed_extra")
    reader.rows("ROLLBACK")
    assert refusal(dropper, "DROP TABLE testbed_extra") == "", (
        "the table cannot be dropped though nobody reads it any more"
    )


@check("transactions.deadlock")
def test_deadlock(trial: Trial) -> None:
    app = trial.app()
    trial.database.connection.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'a'), (2, 'b')")
    both_have_one = threading.Barrier(2, timeout=WITHIN)
    told: list[str] = []
    one_is_done = threading.Event()

    def sign(name: str, *ids: int) -> None:
        for number in ids:
            statement = update(Item).where(Item.id == number).values(name=Item.name + name)
            trial.session.execute(statement, execution_options={"synchronize_session": False})
            if not told and number == ids[0]:
                both_have_one.wait()
        trial.session.commit()
        one_is_done.set()

    def work(name: str, *ids: int) -> None:
        with app.app_context():
            try:
                sign(name, *ids)
            except DBAPIError as error:
                told.append(str(error.orig).lower())
                trial.session.rollback()
                # Earlier, the two could meet again over what this one has just let go of.
                one_is_done.wait(WITHIN)
                sign(name, *ids)

    at_once(lambda: work("x", 1, 2), lambda: work("y", 2, 1))

    assert len(told) == 1, f"{len(told)} of two requests were told of a deadlock"
    assert "deadlock" in told[0], "the request was told of something else"
    assert [sorted(name) for name in trial.names()] == [["a", "x", "y"], ["b", "x", "y"]], (
        "not all work of both is done, each once"
    )


@check("transactions.error-in-transaction")
def test_error_in_transaction(connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    connection = connect()
    connection.rows("BEGIN")
    assert refusal(connection, "SELECT nothing FROM testbed_nowhere")

    assert_says(refusal(connection, "SELECT 1"), AFTER_AN_ERROR[testbed_backend.name])
    connection.rows("ROLLBACK")
    assert refusal(connection, "SELECT 1") == ""


@check("transactions.stale-snapshot")
def test_stale_snapshot(trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    reader, writer = connect(), trial.database.connection
    writer.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'old')")
    reader.run(BEGIN[testbed_backend.name])
    assert reader.rows("SELECT name FROM testbed_item") == [("old",)]
    writer.rows("UPDATE testbed_item SET name = 'new'")

    assert reader.rows("SELECT name FROM testbed_item") == [(READ_AGAIN[testbed_backend.name],)]
    reader.rows("ROLLBACK")
    assert reader.rows("SELECT name FROM testbed_item") == [("new",)]


@check("transactions.lost-update")
def test_lost_update(trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    first, second = connect(), connect()
    trial.database.connection.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'old')")
    for reader in (first, second):
        reader.run([*BEGIN_REPEATABLE[testbed_backend.name], "SELECT name FROM testbed_item"])
    first.run(["UPDATE testbed_item SET name = 'first'", "COMMIT"])

    said = refusal(second, "UPDATE testbed_item SET name = 'second'")
    assert_says(said, LOST_UPDATE[testbed_backend.name])
    second.rows("ROLLBACK")


@check("transactions.ddl-commits")
def test_ddl_commits(trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    connect().run(
        [
            "BEGIN",
            "INSERT INTO testbed_item (name) VALUES ('before')",
            "CREATE TABLE testbed_extra (id INTEGER)",
            "ROLLBACK",
        ]
    )

    assert len(trial.names()) == LEFT_BY_DDL[testbed_backend.name]


@check("transactions.ddl-ends-savepoints")
def test_ddl_ends_savepoints(connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    connection = connect()
    connection.run(["BEGIN", "SAVEPOINT s", "CREATE TABLE testbed_extra (id INTEGER)"])

    assert_says(refusal(connection, "RELEASE SAVEPOINT s"), AFTER_DDL[testbed_backend.name])
    connection.rows("ROLLBACK")
