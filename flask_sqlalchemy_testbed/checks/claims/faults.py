"""Claims about databases and connections that fail."""

from flask_sqlalchemy_testbed.checks.causes import (
    ENDLESS_WAIT,
    NO_PRE_PING,
    SESSIONS_STAY_OPEN,
    UNNOTICED_LOSS,
)
from flask_sqlalchemy_testbed.checks.changes import CLONE, REMOVE_LAST
from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, Check

CHECKS = (
    Check(
        "faults.lost-between-requests",
        "No request fails because the server ended connections between two requests.",
        severity=AVAILABILITY,
        cause=NO_PRE_PING,
        cases=(50, 54),
        needs=("server",),
        remedy="Make the engine with pool_pre_ping=True.",
        default_of="SQLAlchemy",
    ),
    Check(
        "faults.restart",
        "No request fails because the server restarted between two requests.",
        severity=AVAILABILITY,
        cause=NO_PRE_PING,
        cases=(50,),
        needs=("container",),
        remedy="Make the engine with pool_pre_ping=True.",
        stops_server=True,
        default_of="SQLAlchemy",
    ),
    Check(
        "faults.swallowed-loss",
        "A request that swallows the loss of its connection does not break the next one on its thread.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(51,),
        needs=("server",),
        remedy=f"{REMOVE_LAST} It runs whatever the view does.",
    ),
    Check(
        "faults.lost-in-transaction",
        "A request that loses its connection in a transaction gets an error and commits none of its rows.",
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(52,),
        needs=("server",),
        remedy="After a lost transaction, repeat the whole transaction or fail; never one statement alone.",
    ),
    Check(
        "faults.idle-timeout",
        "No request fails because the server ended an idle connection.",
        severity=AVAILABILITY,
        cause=NO_PRE_PING,
        cases=(53,),
        needs=("server",),
        remedy="Make the engine with pool_pre_ping=True, or pool_recycle below the server's timeout.",
        default_of="SQLAlchemy",
    ),
    Check(
        "faults.held-too-long",
        "A request that holds its transaction longer than the server allows fails; the next one succeeds.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(53, 59),
        needs=("server",),
        remedy=REMOVE_LAST,
    ),
    Check(
        "faults.demoted-primary",
        "After a failover, each connection to the old, read-only primary fails one request at most.",
        severity=AVAILABILITY,
        cause=UNNOTICED_LOSS,
        cases=(57,),
        needs=("container", "own-sessions"),
        remedy=(
            f"Copy app/database/errors.py from {CLONE}, and call its act_on_errors(engine):"
            " SQLAlchemy then drops a connection to a server that refuses to write."
        ),
        default_of="SQLAlchemy",
    ),
    Check(
        "faults.failover",
        "After a failover the app writes again without a restart, and no write that it confirmed is missing.",
        severity=DATA,
        cause=UNNOTICED_LOSS,
        cases=(57,),
        needs=("container", "replicates"),
        remedy=(
            f"Copy app/database/errors.py from {CLONE}, and call its act_on_errors(engine):"
            " SQLAlchemy then drops a connection to a server that refuses to write. Confirm no write before"
            " its commit has succeeded."
        ),
        default_of="SQLAlchemy",
        stops_server=True,
        option="failover",
    ),
    Check(
        "faults.lock-wait",
        "A request that waits too long for a locked row or table leaves no statement waiting on the server.",
        severity=AVAILABILITY,
        cause=ENDLESS_WAIT,
        cases=(80,),
        needs=("bounded-reads",),
        remedy=(
            "Let the server give up before PyMySQL: innodb_lock_wait_timeout and lock_wait_timeout (a year by"
            " default) below read_timeout."
        ),
    ),
    Check(
        "faults.endless-wait",
        "A request that waits for a locked row or table fails within five minutes, if it stays locked.",
        severity=AVAILABILITY,
        cause=ENDLESS_WAIT,
        cases=(87,),
        needs=("server",),
        remedy=(
            "Set a limit of some seconds: lock_timeout or statement_timeout on PostgreSQL, which has none by"
            " default; lock_wait_timeout on MySQL, where a wait for a table ends after a year."
        ),
        default_of="PostgreSQL and MySQL",
    ),
    Check(
        "faults.stopped-mid-query",
        "When the server stops during a query, that request fails and no later one.",
        severity=AVAILABILITY,
        cause=NO_PRE_PING,
        cases=(58,),
        needs=("container",),
        remedy="Make the engine with pool_pre_ping=True: not every error is known as a lost connection.",
        stops_server=True,
    ),
    Check(
        "faults.half-open",
        "A request whose server stops answering (packets are dropped) fails in bounded time.",
        severity=AVAILABILITY,
        cause=ENDLESS_WAIT,
        cases=(56,),
        needs=("container", "routed"),
        remedy="Limit the wait: tcp_user_timeout (libpq), read_timeout and write_timeout (PyMySQL).",
        stops_server=True,
        default_of="the drivers",
    ),
    Check(
        "faults.paused",
        "A request to a frozen server fails in bounded time; after the server continues, requests succeed.",
        severity=AVAILABILITY,
        cause=ENDLESS_WAIT,
        cases=(56,),
        needs=("container", "bounded-reads"),
        remedy="Limit the wait for an answer: read_timeout (PyMySQL).",
        stops_server=True,
        default_of="the drivers",
    ),
    Check(
        "faults.statement-timeout",
        "After a statement timeout and a rollback, the session continues on the same connection.",
        severity=AVAILABILITY,
        cases=(59,),
        needs=("server",),
        remedy="Do not set is_disconnect for errors that do not end the connection.",
    ),
    Check(
        "faults.pool-exhausted",
        "A request that finds the pool empty fails in bounded time; later, the pool works as before.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(55,),
        remedy="Keep pool_timeout at a few seconds, and return every connection at the end of its request.",
    ),
    Check(
        "faults.disk-full",
        "With a full disk only writing requests fail; when there is space again, they succeed.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(60,),
        needs=("container", "survives-full-disk"),
        remedy=REMOVE_LAST,
        stops_server=True,
    ),
    Check(
        "faults.file-full",
        "With a file that cannot grow only writing requests fail; when there is space again, they succeed.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(60,),
        needs=("embedded",),
        remedy=REMOVE_LAST,
    ),
)
