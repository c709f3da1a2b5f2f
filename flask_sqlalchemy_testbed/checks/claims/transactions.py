"""Claims about transactions and locks."""

from flask_sqlalchemy_testbed.checks.causes import LATE_BEGIN, SESSIONS_STAY_OPEN, UNNOTICED_LOSS
from flask_sqlalchemy_testbed.checks.changes import CLONE, REMOVE_LAST
from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, PORTABILITY, Check

CHECKS = (
    Check(
        "transactions.rolls-back",
        "Rows that were flushed and rolled back are not in the database.",
        severity=DATA,
        remedy="Leave the engine's isolation level alone: no AUTOCOMMIT on it.",
    ),
    Check(
        "transactions.own-table-rolls-back",
        "In a table that the app's own engine created, rows that were rolled back are gone.",
        severity=DATA,
        cases=(76,),
        remedy="On MySQL leave default_storage_engine alone: MyISAM has no transactions.",
    ),
    Check(
        "transactions.view-begins",
        "A view can begin its own transaction, `with session.begin():`, which commits or rolls back.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(75,),
        remedy="Do not begin a transaction when the session is made, and end the session with its context.",
    ),
    Check(
        "transactions.no-dirty-reads",
        "No request reads rows that another transaction has not committed.",
        connections=2,
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(78, 21),
        remedy="Do not choose the isolation level READ UNCOMMITTED.",
        unfailable={"postgresql": "it reads committed rows alone, even in READ UNCOMMITTED"},
    ),
    Check(
        "transactions.savepoint-released",
        "Rows from a released savepoint are gone after a rollback of the outer transaction.",
        severity=DATA,
        cause=LATE_BEGIN,
        cases=(34,),
        remedy=(
            "On SQLite set isolation_level = None on each connection, and send BEGIN in a listener for the"
            " engine's `begin`: BEGIN IMMEDIATE in requests that may write, such as POST. On others take"
            ' isolation_level="AUTOCOMMIT" out of the engine\'s options.'
        ),
        default_of="Python's SQLite driver",
    ),
    Check(
        "transactions.error-in-savepoint",
        "An error inside a savepoint undoes the savepoint, and nothing else.",
        severity=DATA,
        cases=(36,),
        remedy="Let SQLAlchemy roll back to the savepoint; do not roll back in listeners for errors.",
    ),
    Check(
        "transactions.raw-connection-is-reset",
        "A connection that is returned to the pool inside a transaction is rolled back before its next use.",
        severity=DATA,
        remedy="Do not change pool_reset_on_return.",
    ),
    Check(
        "transactions.fresh-reads",
        "A request reads all rows that were committed before it began, whatever earlier requests read.",
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(37,),
        remedy=REMOVE_LAST,
    ),
    Check(
        "transactions.reader-lets-go",
        "A table can be dropped as soon as the request that read it has ended.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(35,),
        needs=("server",),
        remedy=REMOVE_LAST,
    ),
    Check(
        "transactions.reader-blocks-drop",
        "While a transaction that has read a table is open, the table cannot be dropped.",
        severity=PORTABILITY,
        cases=(35,),
        needs=("server",),
        records=True,
    ),
    Check(
        "transactions.deadlock",
        "Of two requests that wait for each other, one gets a deadlock error and can repeat its transaction.",
        connections=2,
        severity=AVAILABILITY,
        cases=(38,),
        needs=("server",),
        remedy="Repeat the whole transaction after a rollback, never the statement that failed.",
    ),
    Check(
        "transactions.failed-wait",
        "A transaction that ends in a conflict (time limit, deadlock, changed row) commits none of its rows.",
        severity=DATA,
        cause=UNNOTICED_LOSS,
        cases=(85, 38),
        needs=("server",),
        remedy=(
            f"Copy app/database/errors.py from {CLONE}, and call its act_on_errors(engine): after the errors"
            " 1205 and 1213, and 1020 of MariaDB, the transaction can then only be rolled back. Or roll back"
            " after each such error in your own code."
        ),
        default_of="MySQL",
    ),
    Check(
        "transactions.error-in-transaction",
        "After an error in a transaction, only PostgreSQL refuses every statement but a rollback.",
        severity=PORTABILITY,
        cases=(36,),
        records=True,
    ),
    Check(
        "transactions.stale-snapshot",
        "A second read in a transaction sees new commits on PostgreSQL; on MySQL and SQLite it does not.",
        severity=PORTABILITY,
        cases=(37,),
        records=True,
    ),
    Check(
        "transactions.lost-update",
        "If two transactions read a row and change it, only MySQL lets the second overwrite the first.",
        severity=PORTABILITY,
        cases=(38,),
        records=True,
    ),
    Check(
        "transactions.ddl-commits",
        "CREATE TABLE commits earlier writes on MySQL; on the others it can be rolled back with them.",
        severity=PORTABILITY,
        cases=(39,),
        records=True,
    ),
    Check(
        "transactions.ddl-ends-savepoints",
        "On MySQL alone, CREATE TABLE removes the savepoints that were set before it.",
        severity=PORTABILITY,
        cases=(39,),
        records=True,
    ),
)
