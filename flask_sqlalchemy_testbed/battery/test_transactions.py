"""Transactions: savepoints, errors, locks and snapshots."""

import contextlib
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.battery.obstacles import USED, Witness
from flask_sqlalchemy_testbed.battery.requests import add_view, get, route
from flask_sqlalchemy_testbed.battery.tables import OLD_ITEM, OWN, Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once, poll
from flask_sqlalchemy_testbed.battery.trial import Trial, read_twice
from flask_sqlalchemy_testbed.checks.check import check

# The statements that begin a transaction, by default and with a snapshot for all its reads.
BEGIN = {
    "sqlite": ("BEGIN",),
    "postgresql": ("BEGIN ISOLATION LEVEL READ COMMITTED",),
    "mysql": ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN"),
}
BEGIN_REPEATABLE = {
    **BEGIN,
    "postgresql": ("BEGIN ISOLATION LEVEL REPEATABLE READ",),
    # The default of MariaDB 11.6 and newer.
    "mariadb": ("SET innodb_snapshot_isolation = ON", *BEGIN["mysql"]),
}
# The shortest lock timeouts; MySQL's unit is a second.
SHORT_LOCK_TIMEOUT = {"postgresql": "SET lock_timeout = '100ms'", "mysql": "SET lock_wait_timeout = 1"}

# The same for rows.
SHORT_ROW_LOCK_TIMEOUT = {**SHORT_LOCK_TIMEOUT, "mysql": "SET innodb_lock_wait_timeout = 1"}
# How a wait for a row fails: PostgreSQL treats all errors alike. MariaDB refuses to change a row that was
# changed since the transaction's first read, unless its setting or the app's isolation level permits it.
FAILED_WAITS = {
    "postgresql": ("time limit",),
    "mysql": ("time limit", "deadlock"),
    "mariadb": ("time limit", "deadlock", "changed row"),
}
TWO_ITEMS = "INSERT INTO testbed_item (id, name) VALUES (91, 'a'), (92, 'b')"
MANY_ITEMS = "INSERT INTO testbed_item (id, name) VALUES (93, 3), (94, 4), (95, 5), (96, 6), (97, 7), (98, 8)"
WAIT = "UPDATE testbed_item SET name = 'waited' WHERE id = 91"

# Part of the error of DROP TABLE while an open transaction has read the table.
DROP_REFUSED = {"postgresql": "lock timeout", "mysql": "Lock wait timeout"}
# Part of the error of a statement after another one failed in the same transaction; empty: no error.
AFTER_AN_ERROR = {"sqlite": "", "postgresql": "current transaction is aborted", "mysql": ""}
# The result of a second read in a transaction after another one changed "old" to "new".
READ_AGAIN = {"sqlite": "old", "postgresql": "new", "mysql": "old"}
# Part of the error of an update whose row was changed since the transaction read it.
LOST_UPDATE = {
    "sqlite": "database is locked",
    "postgresql": "could not serialize",
    "mysql": "",
    "mariadb": "Record has changed since last read",
}
# The number of rows, inserted before a CREATE TABLE, that remain after a rollback.
LEFT_BY_DDL = {"sqlite": 0, "postgresql": 0, "mysql": 1}
# Part of the error when a savepoint is released after a CREATE TABLE.
AFTER_DDL = {"sqlite": "", "postgresql": "", "mysql": "SAVEPOINT s does not exist"}

# Seconds; a reader that does not wait needs a few milliseconds.
READER_WAITS = 0.5
EXTRA_TABLE = "CREATE TABLE testbed_extra (id INTEGER)"


class UndoneError(Exception):
    """The reason for a rollback."""


def error_of(connection: Connection, statement: str) -> str:
    """Execute the statement; return the text of its error, or an empty string."""
    try:
        connection.rows(statement)
    except Exception as error:  # noqa: BLE001 - each driver has its own errors
        return str(error)
    return ""


def assert_error(error: str, expected: str) -> None:
    assert expected in error
    assert bool(error) == bool(expected)


@check("transactions.rolls-back")
def test_rolls_back(trial: Trial) -> None:
    with trial.app().app_context():
        trial.write("rolled back")
        found = trial.committed()
        trial.session.rollback()

    assert found == [], f"another connection reads rows that were only flushed: {found}"
    assert trial.committed() == [], f"after the rollback the database contains {trial.committed()}"


@check("transactions.own-table-rolls-back")
def test_own_table_rolls_back(trial: Trial) -> None:
    with trial.app().app_context():
        trial.create_own_table()
        trial.session.execute(insert(OWN).values(name="rolled back"))
        trial.session.rollback()

    found = trial.database.connection.rows("SELECT name FROM testbed_own")
    assert found == [], f"after the rollback, the table that the app created contains {found}"


@check("transactions.view-begins")
def test_view_begins(trial: Trial) -> None:
    app = trial.app()

    def view() -> str:
        try:
            with trial.session.begin():
                trial.session.add(Item(name="committed"))
            with contextlib.suppress(UndoneError), trial.session.begin():
                trial.write("rolled back")
                raise UndoneError
        except InvalidRequestError as error:
            return str(error)
        return "begun"

    def is_begun() -> bool:
        try:
            with trial.session.begin():
                return False
        except InvalidRequestError:
            return True

    add_view(app, "/testbed/begin", view)
    found = get(app, "/testbed/begin")
    if "already begun" in found:
        _, cause = Witness(app, is_begun).answer("/testbed/begin")
        with app.app_context():
            is_left_in_use = is_begun()
        if not is_left_in_use:
            # A login is no mistake, and a rollback after it would expire the user that it has loaded.
            used = cause if cause.endswith(USED) else f"code of the app {USED}"
            advice = "end views of this app with session.commit(), without the block `with session.begin():`"
            trial.not_applicable(f"{used}: {advice}")
    assert found == "begun", f"a view could not begin a transaction: {found}"
    assert trial.committed() == ["committed"], f"of two transactions, {trial.committed()} was committed"


@check("transactions.no-dirty-reads")
def test_no_dirty_reads(trial: Trial) -> None:
    app = trial.app_with_views()
    with app.app_context():
        trial.write("uncommitted")
        if trial.committed():
            return  # In AUTOCOMMIT mode: `transactions.rolls-back` fails for it.
        reader = Task(lambda: get(app, "/testbed/names"))
        # A reader may also wait until the writer's transaction has ended, or be refused.
        reader.ended.wait(READER_WAITS)
        trial.session.rollback()
    found = reader.result()

    assert "uncommitted" not in found, f"a request read rows of an open transaction: {found}"


@check("transactions.savepoint-released")
def test_savepoint_released(trial: Trial) -> None:
    with trial.app().app_context():
        with trial.session.begin_nested():
            trial.session.add(Item(name="nested"))
        trial.session.rollback()

    assert trial.committed() == [], "the rollback of the transaction did not remove its savepoint's row"


@check("transactions.error-in-savepoint")
def test_error_in_savepoint(trial: Trial) -> None:
    with trial.app().app_context():
        trial.write("before")
        with pytest.raises(DBAPIError), trial.session.begin_nested():
            trial.session.execute(text("SELECT nothing FROM testbed_nowhere"))
        trial.commit("after")

    found = trial.committed()
    assert found == ["before", "after"], f"of the rows before and after the savepoint, {found} were committed"


@check("transactions.raw-connection-is-reset")
def test_raw_connection_is_reset(trial: Trial) -> None:
    app = trial.app()
    connection = trial.engine(app).raw_connection()
    connection.cursor().execute("INSERT INTO testbed_item (name) VALUES ('left')")
    # The row is committed if the engine, not the session, is in AUTOCOMMIT mode.
    expected = [*trial.committed(), "next"]
    connection.close()
    trial.assert_nothing_open()

    with app.app_context():
        trial.commit("next")
    found = trial.committed()
    assert found == expected, f"the next user of the connection committed {found}, not only its own row"


@check("transactions.fresh-reads")
def test_fresh_reads(trial: Trial) -> None:
    found = read_twice(trial, lambda: trial.session.get(Item, 1))

    assert found == ["old", "new"], f"'new' was committed between two requests, which read {found}"


@check("transactions.reader-lets-go")
def test_reader_lets_go(trial: Trial, connect: Callable[[], Connection]) -> None:
    app, errors = trial.app(), [""]
    query = text("SELECT id FROM testbed_extra")
    add_view(app, "/testbed/read", lambda: str(trial.session.scalars(query).all()))
    trial.database.connection.rows(EXTRA_TABLE)
    found = get(app, "/testbed/read")
    assert found == "[]", f"the request did not read the empty table: it returned {found}"
    dropper = connect()
    dropper.rows(trial.of(SHORT_LOCK_TIMEOUT))

    def is_dropped() -> bool:
        errors.append(error_of(dropper, "DROP TABLE testbed_extra"))
        return errors[-1] == ""

    # If the app closes its connection, the server notices that a moment later.
    assert poll(is_dropped, WITHIN / 2), (
        f"the table that an ended request had read cannot be dropped: {errors[-1]}"
    )


@check("transactions.reader-blocks-drop")
def test_reader_blocks_drop(trial: Trial, connect: Callable[[], Connection]) -> None:
    reader, dropper = connect(), connect()
    trial.database.connection.rows(EXTRA_TABLE)
    reader.run(["BEGIN", "SELECT id FROM testbed_extra"])
    dropper.rows(trial.of(SHORT_LOCK_TIMEOUT))

    assert trial.of(DROP_REFUSED) in error_of(dropper, "DROP TABLE testbed_extra")
    reader.rows("ROLLBACK")
    assert error_of(dropper, "DROP TABLE testbed_extra") == ""


@check("transactions.deadlock")
def test_deadlock(trial: Trial) -> None:
    app = trial.app()
    trial.database.connection.rows("INSERT INTO testbed_item (id, name) VALUES (1, 'a'), (2, 'b')")
    committed: list[str] = []
    both_have_one = threading.Barrier(2, lambda: committed.extend(trial.committed()), timeout=WITHIN)
    errors: list[str] = []
    one_is_done = threading.Event()

    def sign(name: str, *ids: int) -> None:
        for number in ids:
            statement = update(Item).where(Item.id == number).values(name=Item.name + name)
            trial.session.execute(statement, execution_options={"synchronize_session": False})
            if not errors and number == ids[0]:
                both_have_one.wait()
        trial.session.commit()
        one_is_done.set()

    def work(name: str, *ids: int) -> None:
        with app.app_context():
            try:
                sign(name, *ids)
            except DBAPIError as error:
                errors.append(str(error.orig).lower())
                trial.session.rollback()
                # An immediate repetition could deadlock again, before the other thread continues.
                one_is_done.wait(WITHIN)
                sign(name, *ids)

    at_once(lambda: work("x", 1, 2), lambda: work("y", 2, 1))

    if committed != ["a", "b"]:
        return  # In AUTOCOMMIT mode no request waits: `transactions.rolls-back` fails for it.
    assert len(errors) == 1, f"{len(errors)} of two contexts got an error"
    assert "deadlock" in errors[0], f"the error does not name a deadlock: {errors[0]}"
    found = trial.committed()
    assert [sorted(name) for name in found] == [["a", "x", "y"], ["b", "x", "y"]], (
        f"each context should have added its letter once to both rows, which are {found}"
    )


@check("transactions.failed-wait")
def test_failed_wait(trial: Trial, connect: Callable[[], Connection], testbed_backend: Backend) -> None:
    app, errors, ways = trial.app(), [], [""]

    @route(app, "/testbed/half")
    def half() -> str:
        trial.write("before")
        # A snapshot begins. If the app's reads lock, this row is free.
        trial.session.execute(text("SELECT name FROM testbed_item WHERE id = 92"))
        trial.session.execute(text("UPDATE testbed_item SET name = 'changed' WHERE id = 92"))
        # A short wait could end before the check has seen it and ends it in another way.
        if ways[-1] == "time limit":
            trial.session.execute(text(trial.of(SHORT_ROW_LOCK_TIMEOUT)))
        try:
            trial.session.execute(text(WAIT))
        except DBAPIError as error:
            errors.append(error)
        with contextlib.suppress(SQLAlchemyError):
            trial.write("after")
            trial.session.commit()
        return "swallowed"

    def waits() -> bool:
        rows = trial.database.connection.rows(testbed_backend.activity)
        return any("WANTS" in line and WAIT in line for (line,) in rows)

    with app.app_context():
        trial.write()
        if trial.committed():
            return  # In AUTOCOMMIT mode: `transactions.rolls-back` fails for it.
        trial.session.rollback()
    trial.database.connection.rows(TWO_ITEMS)
    for way in trial.of(FAILED_WAITS):
        ways.append(way)
        holder = connect()
        # MySQL ends the transaction that has changed fewer rows.
        first = MANY_ITEMS if way == "deadlock" else "SELECT 1"
        holder.run(["BEGIN", first, "UPDATE testbed_item SET name = 'c' WHERE id = 91"])
        request = Task(lambda: get(app, "/testbed/half"))
        if way != "time limit" and poll(waits):
            holder.rows(
                "COMMIT" if way == "changed row" else "UPDATE testbed_item SET name = 'd' WHERE id = 92"
            )
        answer = request.result()
        holder.close()

        if way == "changed row" and not errors:
            return  # The app does not read from a snapshot.
        assert errors, f"the request did not fail at its {way}: {answer}"
        errors.clear()
        found, expected = trial.committed(), ["c" if way == "changed row" else "a", "b"]
        assert found == expected, f"a {way} ended a statement, and its transaction committed {found}"


@check("transactions.error-in-transaction")
def test_error_in_transaction(trial: Trial, connect: Callable[[], Connection]) -> None:
    connection = connect()
    connection.rows("BEGIN")
    assert error_of(connection, "SELECT nothing FROM testbed_nowhere")

    assert_error(error_of(connection, "SELECT 1"), trial.of(AFTER_AN_ERROR))
    connection.rows("ROLLBACK")
    assert error_of(connection, "SELECT 1") == ""


@check("transactions.stale-snapshot")
def test_stale_snapshot(trial: Trial, connect: Callable[[], Connection]) -> None:
    reader, writer = connect(), trial.database.connection
    writer.rows(OLD_ITEM)
    reader.run(trial.of(BEGIN))
    assert reader.rows("SELECT name FROM testbed_item") == [("old",)]
    writer.rows("UPDATE testbed_item SET name = 'new'")

    assert reader.rows("SELECT name FROM testbed_item") == [(trial.of(READ_AGAIN),)]
    reader.rows("ROLLBACK")
    assert reader.rows("SELECT name FROM testbed_item") == [("new",)]


@check("transactions.lost-update")
def test_lost_update(trial: Trial, connect: Callable[[], Connection]) -> None:
    first, second = connect(), connect()
    trial.database.connection.rows(OLD_ITEM)
    for reader in (first, second):
        reader.run([*trial.of(BEGIN_REPEATABLE), "SELECT name FROM testbed_item"])
    first.run(["UPDATE testbed_item SET name = 'first'", "COMMIT"])

    assert_error(error_of(second, "UPDATE testbed_item SET name = 'second'"), trial.of(LOST_UPDATE))
    second.rows("ROLLBACK")


@check("transactions.ddl-commits")
def test_ddl_commits(trial: Trial, connect: Callable[[], Connection]) -> None:
    connect().run(["BEGIN", OLD_ITEM, EXTRA_TABLE, "ROLLBACK"])

    assert len(trial.committed()) == trial.of(LEFT_BY_DDL)


@check("transactions.ddl-ends-savepoints")
def test_ddl_ends_savepoints(trial: Trial, connect: Callable[[], Connection]) -> None:
    connection = connect()
    connection.run(["BEGIN", "SAVEPOINT s", EXTRA_TABLE])

    assert_error(error_of(connection, "RELEASE SAVEPOINT s"), trial.of(AFTER_DDL))
    connection.rows("ROLLBACK")
