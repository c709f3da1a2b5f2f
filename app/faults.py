"""Classify database errors by the possible reactions of the caller.

The codes come from the drivers' exceptions. No driver is imported here.
"""

import sqlite3
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class Fault(Enum):
    """The kinds of database errors."""

    AWAY = auto()
    """The database cannot be reached, has no room, or was too slow. A later try may succeed."""
    CONTENDED = auto()
    """Another transaction was in the way. The same transaction may succeed now."""
    TAKEN = auto()
    """A unique value exists already."""
    OTHER = auto()
    """The statement, the schema or the values are wrong."""


SQLITE = {
    sqlite3.SQLITE_BUSY: Fault.CONTENDED,
    sqlite3.SQLITE_LOCKED: Fault.CONTENDED,
    sqlite3.SQLITE_PROTOCOL: Fault.CONTENDED,
    sqlite3.SQLITE_CANTOPEN: Fault.AWAY,
    sqlite3.SQLITE_FULL: Fault.AWAY,
    sqlite3.SQLITE_IOERR: Fault.AWAY,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: Fault.TAKEN,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: Fault.TAKEN,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html; two characters stand for a class of errors.
POSTGRESQL = {
    "08": Fault.AWAY,  # connection exception
    "53": Fault.AWAY,  # insufficient resources, such as too many connections
    "25006": Fault.AWAY,  # read-only: a server that is no longer the primary
    "25P03": Fault.AWAY,  # idle in transaction for too long
    "25P04": Fault.AWAY,  # transaction timeout
    "57014": Fault.AWAY,  # cancelled, as by statement_timeout
    "57P01": Fault.AWAY,  # shut down by an administrator
    "57P02": Fault.AWAY,  # crashed
    "57P03": Fault.AWAY,  # starting up or shutting down
    "57P05": Fault.AWAY,  # idle session timeout
    "40001": Fault.CONTENDED,  # serialization failure
    "40P01": Fault.CONTENDED,  # deadlock
    "55P03": Fault.CONTENDED,  # lock timeout
    "23505": Fault.TAKEN,  # unique violation
}

# https://dev.mysql.com/doc/mysql-errors/en/
MYSQL = {
    1021: Fault.AWAY,  # disk full
    1040: Fault.AWAY,  # too many connections
    1044: Fault.AWAY,  # no access to the database
    1045: Fault.AWAY,  # wrong user or password
    1047: Fault.AWAY,  # a node of Galera that has lost the majority
    1049: Fault.AWAY,  # no such database
    1053: Fault.AWAY,  # shutting down
    1114: Fault.AWAY,  # table full
    1129: Fault.AWAY,  # host blocked after too many failed connections
    1130: Fault.AWAY,  # host not allowed
    1203: Fault.AWAY,  # too many connections of this user
    1226: Fault.AWAY,  # a resource limit of this user
    1290: Fault.AWAY,  # read-only: a server that is no longer the primary
    1317: Fault.AWAY,  # killed
    1836: Fault.AWAY,  # read-only
    1927: Fault.AWAY,  # connection killed
    1969: Fault.AWAY,  # max_statement_time of MariaDB
    2002: Fault.AWAY,  # no connection
    2003: Fault.AWAY,
    2005: Fault.AWAY,  # unknown host
    2006: Fault.AWAY,  # connection lost
    2013: Fault.AWAY,  # connection lost during a query
    3024: Fault.AWAY,  # max_execution_time
    4031: Fault.AWAY,  # idle for too long
    1020: Fault.CONTENDED,  # innodb_snapshot_isolation of MariaDB: the row has changed since the first read
    1205: Fault.CONTENDED,  # lock wait timeout
    1213: Fault.CONTENDED,  # deadlock
    3572: Fault.CONTENDED,  # NOWAIT
    1062: Fault.TAKEN,  # duplicate entry
    4025: Fault.OTHER,  # CHECK and JSON constraints of MariaDB, which PyMySQL takes for an operational error
}


def fault_of(error: Exception) -> Fault:
    """Classify ``error``.

    Args:
        error: An error that SQLAlchemy has raised, or any other.

    Returns:
        The kind; ``OTHER`` for errors that are in no table of this module.
    """
    if isinstance(error, PoolTimeoutError):
        return Fault.AWAY
    if not isinstance(error, DBAPIError):
        return Fault.OTHER
    if error.connection_invalidated:
        return Fault.AWAY
    driver = type(error.orig).__module__.partition(".")[0]
    classify = {"sqlite3": _sqlite, "psycopg2": _postgresql, "psycopg": _postgresql, "pymysql": _mysql}
    found = classify[driver](error) if driver in classify else None
    return found or Fault.OTHER


def _sqlite(error: DBAPIError) -> Fault | None:
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return SQLITE.get(code) or SQLITE.get(code & 0xFF)


def _postgresql(error: DBAPIError) -> Fault | None:
    # psycopg 3 calls it sqlstate, psycopg2 pgcode.
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if state is not None:
        return POSTGRESQL.get(state) or POSTGRESQL.get(state[:2])
    # libpq gives no code when it cannot connect, nor when the connection is lost.
    return Fault.AWAY if isinstance(error, OperationalError) else None


def _mysql(error: DBAPIError) -> Fault | None:
    arguments = error.orig.args if error.orig else ()
    return MYSQL.get(arguments[0]) if arguments else None
