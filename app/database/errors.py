"""Act on errors after which a connection, or its transaction, must not be used further."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext

# The server takes no writes: it may have been the primary until now. Pings still succeed.
READ_ONLY: frozenset[object] = frozenset({"25006", 1290, 1836})

# MySQL has undone one statement (1205, lock wait timeout) or the transaction (1213, deadlock; on
# MariaDB also 1020, a row that was changed since the transaction's first read).
TRANSACTION_LOST: frozenset[object] = frozenset({1020, 1205, 1213})


def act_on_errors(engine: Engine) -> None:
    """Leave a server that takes no writes, and roll back a transaction that lost a statement.

    After a write that the server refuses as read-only, the connection is closed, so that the
    next one may reach another server. The other connections of the pool are left alone: the
    transaction may have been read-only by the app's own wish.

    After a lock wait timeout or a deadlock on MySQL and MariaDB, and after a conflict of snapshots on
    MariaDB, the transaction is rolled back, and refuses further statements and its commit, as on
    PostgreSQL: ``rollback()`` begins a new one.
    """
    event.listen(engine, "handle_error", _act)


def _act(context: ExceptionContext) -> None:
    error, connection = context.original_exception, context.connection
    # psycopg 3 calls it sqlstate, psycopg2 pgcode; MySQL's number is the first argument.
    codes = {getattr(error, name, None) for name in ("sqlstate", "pgcode")} | set(error.args[:1])
    if connection is None:
        return
    if codes & READ_ONLY:
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
    elif codes & TRANSACTION_LOST and (transaction := connection.get_transaction()) is not None:
        driver: Any = connection.connection.dbapi_connection
        # In autocommit mode there is nothing to roll back. Otherwise SQLAlchemy now sends the
        # rollback, and refuses statements until its caller rolls back too.
        transaction.is_active = connection.dialect.detect_autocommit_setting(driver)
