"""Claims about the life of sessions."""

from flask_sqlalchemy_testbed.checks.causes import (
    CAUSES,
    COMMITS_LATE,
    HELD_STREAM,
    KEPT_SETTINGS,
    SCOPED_BY_THREAD,
    SESSIONS_STAY_OPEN,
    TEARDOWN_ORDER,
    UNREAD_ROWS,
)
from flask_sqlalchemy_testbed.checks.changes import CLONE, REMOVE_LAST
from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, Check

TWICE = "Flask calls the callbacks in reverse order, then the receivers of appcontext_tearing_down."

CHECKS = (
    Check(
        "lifecycle.request-ends",
        "A request that succeeds leaves no connection, session, transaction or uncommitted row behind.",
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(15,),
        remedy=REMOVE_LAST,
    ),
    Check(
        "lifecycle.failed-request-ends",
        "A request that fails (abort, 404, a handled or unhandled exception) leaves nothing open.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(15,),
        remedy=f"{REMOVE_LAST} An after_request callback is not called for every failure.",
    ),
    Check(
        "lifecycle.context-ends",
        "An app context without a request leaves nothing open when it ends.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(15,),
        remedy=f"{REMOVE_LAST} teardown_request is not called there.",
    ),
    Check(
        "lifecycle.async-view",
        "An async view, which runs in another thread, uses its request's session and leaves nothing open.",
        severity=DATA,
        cause=SCOPED_BY_THREAD,
        cases=(16,),
        remedy="Scope the session by the context (or keep it in g), not by the thread.",
    ),
    Check(
        "lifecycle.unwrapped-stream",
        "A generator or close callback that runs after its context gets no session, or leaves nothing open.",
        severity=AVAILABILITY,
        cause=SCOPED_BY_THREAD,
        cases=(17,),
        remedy="Scope the session by the context, and wrap the generator in stream_with_context.",
    ),
    Check(
        "lifecycle.session-options",
        "A session that is made with options, in a view or in a streamed body, is refused or ends with it.",
        severity=AVAILABILITY,
        cause=SCOPED_BY_THREAD,
        cases=(86,),
        remedy="End whatever session the registry holds for the scope, also one that was made with options.",
    ),
    Check(
        "lifecycle.unread-rows",
        "A request that leaves the rows of a streamed result unread ends at once, and leaves nothing open.",
        severity=AVAILABILITY,
        cause=UNREAD_ROWS,
        cases=(84,),
        remedy=(
            f"Copy app/database/streams.py from {CLONE}, and call its discard_unread_rows(engine). Or"
            " call session.connection().invalidate() before the streaming cursor is closed: PyMySQL then"
            " reads no further rows. Or select no more rows than you read."
        ),
        default_of="PyMySQL",
    ),
    Check(
        "lifecycle.held-stream",
        "While a streamed response stays unclosed, later requests on its thread still end their sessions.",
        severity=AVAILABILITY,
        cause=HELD_STREAM,
        cases=(18,),
        remedy=(
            "Run each request and its body in a copy of the context: wrap app.wsgi_app, and call"
            " copy_context().run(wsgi_app, ...)."
        ),
        default_of="Flask",
    ),
    Check(
        "lifecycle.failing-teardown",
        "When another teardown callback raises, the request still leaves nothing open.",
        severity=AVAILABILITY,
        cause=TEARDOWN_ORDER,
        cases=(19,),
        remedy=f"{REMOVE_LAST} Up to Flask 3.1 a callback that raises stops the others.",
        default_of="Flask",
    ),
    Check(
        "lifecycle.used-in-teardown",
        "A callback that uses the session while its context ends leaves nothing open, early or late.",
        severity=AVAILABILITY,
        cause=TEARDOWN_ORDER,
        cases=(72,),
        remedy=f"{REMOVE_LAST} {TWICE}",
        default_of="Flask",
    ),
    Check(
        "lifecycle.exit",
        "A request, stream or context that SystemExit or another BaseException ends leaves nothing open.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(73,),
        remedy="End the session in `finally`, or whatever the error: not only for None and Exception.",
    ),
    Check(
        "lifecycle.later-context",
        "A context whose teardown failed does not pass its session on to a later context.",
        severity=DATA,
        cause=TEARDOWN_ORDER,
        cases=(19, 31),
        remedy=REMOVE_LAST,
    ),
    Check(
        "lifecycle.nested-contexts",
        "The end of an inner app context does not end the session of the outer one.",
        severity=DATA,
        cause=SCOPED_BY_THREAD,
        cases=(20,),
        remedy="Scope the session by the context: the end of the inner one then ends only its session.",
    ),
    Check(
        "lifecycle.request-inside-context",
        "An app context in which a test request was made still leaves nothing open.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(21,),
        remedy=(
            f"{REMOVE_LAST} Up to Flask 3.1 such a request has no app context of its own, nor an end of it."
        ),
    ),
    Check(
        "lifecycle.with-client",
        "In a with-block of the test client, which tears contexts down twice, each request ends its session.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(22,),
        remedy="Let the teardown callback accept that there is no session: g.pop('session', None).",
    ),
    Check(
        "lifecycle.thread",
        "A long-lived thread leaves nothing open from a context that has ended.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(23,),
        remedy=f"{REMOVE_LAST} Push a context in threads: with app.app_context(): ...",
    ),
    Check(
        "lifecycle.cli-command",
        "A command of the app leaves nothing open when it ends.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(24,),
        remedy=(
            f"{REMOVE_LAST} Declare the command with @app.cli.command, which pushes a context, or put"
            " @with_appcontext of flask.cli below its @click.command."
        ),
    ),
    Check(
        "lifecycle.failed-flush",
        "A failed flush, even if its error was swallowed, does not break later requests.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(25,),
        remedy="End the session with remove() or rollback(), not with a commit() that may raise.",
    ),
    Check(
        "lifecycle.error-handler",
        "The error handler of a request can use the session after a rollback, in the same context.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(26,),
        remedy="Do not wrap requests in session.begin(): after a rollback it refuses work until its end.",
    ),
    Check(
        "lifecycle.detached",
        "An object that outlives its request is detached: it cannot open a transaction that is never ended.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(27,),
        remedy="End the session with remove() or close(); rollback() leaves its objects attached.",
    ),
    Check(
        "lifecycle.handled-error",
        "Rows that a request wrote before a handled error are not committed.",
        severity=DATA,
        cause=COMMITS_LATE,
        cases=(29,),
        remedy=CAUSES[COMMITS_LATE].remedy_in({}),
    ),
    Check(
        "lifecycle.own-session",
        "Each request has a session of its own: in two threads at once, and one after another in one thread.",
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(30,),
        remedy="Do not keep a session() from start-up: use the scoped_session, or g, each time.",
    ),
    Check(
        "lifecycle.gevent",
        "In a gevent worker, requests at once have a session each, and leave nothing open if one hangs up.",
        connections=3,
        severity=DATA,
        cases=(32,),
        needs=("gunicorn", "gevent"),
        remedy=(
            "Scope the session by the context; and have gevent patch the standard library before the app"
            " is imported, which gunicorn's option --preload prevents."
        ),
    ),
    Check(
        "lifecycle.gevent-waits",
        "In a gevent worker, requests wait for the database at the same time, if the driver allows that.",
        severity=AVAILABILITY,
        cases=(32,),
        needs=("gunicorn", "gevent", "server"),
        remedy="Give the pool a connection for each request at once, and hold no lock during a statement.",
    ),
    Check(
        "lifecycle.clean-connection",
        "Settings, variables, locks and temporary tables of a request do not reach the next request.",
        severity=DATA,
        cause=KEPT_SETTINGS,
        cases=(79,),
        needs=("own-sessions",),
        remedy=(
            f"Copy app/database/reset.py from {CLONE}, and call its reset_at_return(engine, always=False)."
            " Or write SET LOCAL name = value on PostgreSQL, which ends with the transaction; or make the"
            " engine with poolclass=NullPool."
        ),
        default_of="SQLAlchemy",
    ),
    Check(
        "lifecycle.no-stale-object",
        "A request sees committed changes to a row that an earlier request on its thread has loaded.",
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(31,),
        remedy=REMOVE_LAST,
    ),
)
