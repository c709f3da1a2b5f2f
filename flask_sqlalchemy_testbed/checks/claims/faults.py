"""Claims about databases and connections that fail."""

from __future__ import annotations

from flask_sqlalchemy_testbed.checks.definition import Check

CHECKS = (
    Check(
        "faults.lost-between-requests",
        "No request fails because the server ended connections between two requests.",
        cases=(50, 54),
        needs=("server",),
        remedy="Make the engine with pool_pre_ping=True.",
    ),
    Check(
        "faults.restart",
        "No request fails because the server restarted between two requests.",
        cases=(50,),
        needs=("container",),
        remedy="Make the engine with pool_pre_ping=True.",
        stops_server=True,
    ),
    Check(
        "faults.swallowed-loss",
        "A request that swallows the loss of its connection does not break the next one on its thread.",
        cases=(51,),
        needs=("server",),
        remedy="Call session.remove() in a teardown_appcontext callback: it runs whatever the view does.",
    ),
    Check(
        "faults.lost-in-transaction",
        "A request that loses its connection in a transaction gets an error and commits none of its rows.",
        cases=(52,),
        needs=("server",),
        remedy="After a lost transaction, repeat the whole transaction or fail; never one statement alone.",
    ),
    Check(
        "faults.idle-timeout",
        "No request fails because the server ended an idle connection.",
        cases=(53,),
        needs=("server",),
        remedy="Make the engine with pool_pre_ping=True, or pool_recycle below the server's timeout.",
    ),
    Check(
        "faults.held-too-long",
        "A request that holds its transaction longer than the server allows fails; the next one succeeds.",
        cases=(53, 59),
        needs=("server",),
        remedy="Call session.remove() in a teardown_appcontext callback.",
    ),
    Check(
        "faults.stopped-mid-query",
        "When the server stops during a query, that request fails and no later one.",
        cases=(58,),
        needs=("container",),
        remedy="Make the engine with pool_pre_ping=True: not every error is known as a lost connection.",
        stops_server=True,
    ),
    Check(
        "faults.half-open",
        "A request whose server stops answering (packets are dropped) fails in bounded time.",
        cases=(56,),
        needs=("container", "routed"),
        remedy="Limit the wait: tcp_user_timeout (libpq), read_timeout and write_timeout (PyMySQL).",
        stops_server=True,
    ),
    Check(
        "faults.paused",
        "A request to a frozen server fails in bounded time; after the server continues, requests succeed.",
        cases=(56,),
        needs=("container", "bounded-reads"),
        remedy="Limit the wait for an answer: read_timeout (PyMySQL).",
        stops_server=True,
    ),
    Check(
        "faults.statement-timeout",
        "After a statement timeout and a rollback, the session continues on the same connection.",
        cases=(59,),
        needs=("server",),
        remedy="Do not set is_disconnect for errors that do not end the connection.",
    ),
    Check(
        "faults.pool-exhausted",
        "A request that finds the pool empty fails in bounded time; later, the pool works as before.",
        cases=(55,),
        remedy="Keep pool_timeout at a few seconds, and return every connection at the end of its request.",
    ),
    Check(
        "faults.disk-full",
        "With a full disk only writing requests fail; when there is space again, they succeed.",
        cases=(60,),
        needs=("container",),
        remedy="Call session.remove() in a teardown_appcontext callback.",
        stops_server=True,
    ),
    Check(
        "faults.file-full",
        "With a file that cannot grow only writing requests fail; when there is space again, they succeed.",
        cases=(60,),
        needs=("embedded",),
        remedy="Call session.remove() in a teardown_appcontext callback.",
    ),
)
