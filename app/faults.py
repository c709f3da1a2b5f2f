"""What an error of the database means for the caller, by the codes of each driver."""

from __future__ import annotations

import sqlite3
from enum import Enum, auto

import psycopg2
import pymysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError


class Fault(Enum):
    """What an error of the database means."""

    AWAY = auto()  # It cannot be reached, has no room, or was too slow: later, perhaps.
    CONTENDED = auto()  # Another transaction was in the way: the same one may pass now.
    TAKEN = auto()  # A unique value is there already.
    OTHER = auto()  # The statement, the schema or the values are wrong.


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

# https://www.postgresql.org/docs/current/errcodes-appendix.html; two characters are a class.
POSTGRESQL = {
    "08": Fault.AWAY,  # connection exception
    "53": Fault.AWAY,  # insufficient resources, too many connections among them
    "25006": Fault.AWAY,  # read-only: a server that is no longer the primary
    "25P03": Fault.AWAY,  # idle in transaction for too long
    "25P04": Fault.AWAY,  # transaction timeout
    "57014": Fault.AWAY,  # cancelled: statement timeout
    "57P01": Fault.AWAY,  # shut down by an administrator
    "57P02": Fault.AWAY,  # crashed
    "57P03": Fault.AWAY,  # starting up or shutting down
    "57P05": Fault.AWAY,  # idle session timeout
    "40001": Fault.CONTENDED,  # serialization failure
    "40P01": Fault.CONTENDED,  # deadlock
    "55P03": Fault.CONTENDED,  # lock timeout
    "23505": Fault.TAKEN,
}

# https://dev.mysql.com/doc/mysql-errors/en/
MYSQL = {
    1021: Fault.AWAY,  # disk full
    1040: Fault.AWAY,  # too many connections
    1044: Fault.AWAY,  # log-in refused, as libpq reports without a code
    1045: Fault.AWAY,
    1049: Fault.AWAY,  # no such database, likewise
    1053: Fault.AWAY,  # shutting down
    1114: Fault.AWAY,  # table full
    1129: Fault.AWAY,  # host blocked after too many failed connections
    1130: Fault.AWAY,  # host not allowed
    1203: Fault.AWAY,  # too many connections of this user
    1226: Fault.AWAY,  # a limit of this user
    1290: Fault.AWAY,  # read-only: a server that is no longer the primary
    1317: Fault.AWAY,  # killed
    1836: Fault.AWAY,  # read-only
    1927: Fault.AWAY,  # connection killed
    2002: Fault.AWAY,  # no connection
    2003: Fault.AWAY,
    2005: Fault.AWAY,  # unknown host
    2006: Fault.AWAY,  # connection lost
    2013: Fault.AWAY,
    3024: Fault.AWAY,  # max_execution_time
    4031: Fault.AWAY,  # idle for too long
    1205: Fault.CONTENDED,  # lock wait timeout
    1213: Fault.CONTENDED,  # deadlock
    3572: Fault.CONTENDED,  # NOWAIT
    1062: Fault.TAKEN,
}


def fault_of(error: Exception) -> Fault:
    """Say what ``error`` means; ``OTHER`` for all that no table here lists."""
    if isinstance(error, PoolTimeoutError):
        return Fault.AWAY
    if not isinstance(error, DBAPIError):
        return Fault.OTHER
    if error.connection_invalidated:
        return Fault.AWAY
    found: Fault | None = None
    driver_error = error.orig
    if isinstance(driver_error, sqlite3.Error):
        code = getattr(driver_error, "sqlite_errorcode", 0)
        found = SQLITE.get(code) or SQLITE.get(code & 0xFF)
    elif isinstance(driver_error, psycopg2.Error):
        state = driver_error.pgcode
        if state is not None:
            found = POSTGRESQL.get(state) or POSTGRESQL.get(state[:2])
        elif isinstance(driver_error, psycopg2.OperationalError):
            # libpq gives no code when it cannot connect, nor for a connection that is lost.
            found = Fault.AWAY
    elif isinstance(driver_error, pymysql.Error):
        found = MYSQL.get(driver_error.args[0]) if driver_error.args else None
    return found or Fault.OTHER
