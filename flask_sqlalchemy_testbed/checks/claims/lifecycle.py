"""Claims about the life of sessions."""

from flask_sqlalchemy_testbed.checks.definition import Check

REMOVE = "Call session.remove() in a teardown_appcontext callback."
TWICE = "Flask calls the callbacks in reverse order, then the receivers of appcontext_tearing_down."

CHECKS = (
    Check(
        "lifecycle.request-ends",
        "A request that succeeds leaves no connection, session, transaction or uncommitted row behind.",
        cases=(15,),
        remedy=REMOVE,
    ),
    Check(
        "lifecycle.failed-request-ends",
        "A request that fails (abort, 404, a handled or unhandled exception) leaves nothing open.",
        cases=(15,),
        remedy=f"{REMOVE} An after_request callback is not called for every failure.",
    ),
    Check(
        "lifecycle.context-ends",
        "An app context without a request leaves nothing open when it ends.",
        cases=(15,),
        remedy=f"{REMOVE} teardown_request is not called there.",
    ),
    Check(
        "lifecycle.async-view",
        "An async view, which runs in another thread, uses its request's session and leaves nothing open.",
        cases=(16,),
        remedy="Scope the session by the context (or keep it in g), not by the thread.",
    ),
    Check(
        "lifecycle.unwrapped-stream",
        "A generator that runs after its context ended is refused a session, or leaves nothing open.",
        cases=(17,),
        remedy="Scope the session by the context, and wrap the generator in stream_with_context.",
    ),
    Check(
        "lifecycle.held-stream",
        "While a streamed response stays unclosed, later requests on its thread still end their sessions.",
        cases=(18,),
        remedy="Run each request in a contextvars.copy_context(): a stream's context stays pushed there.",
        default_of="Flask",
    ),
    Check(
        "lifecycle.failing-teardown",
        "When another teardown callback raises, the request still leaves nothing open.",
        cases=(19,),
        remedy="Up to Flask 3.1 a callback that raises stops the others: wrap app.do_teardown_appcontext.",
        default_of="Flask",
    ),
    Check(
        "lifecycle.used-in-teardown",
        "A callback that uses the session while its context ends leaves nothing open, early or late.",
        cases=(72,),
        remedy=f"End the session after all callbacks: wrap app.do_teardown_appcontext. {TWICE}",
        default_of="Flask",
    ),
    Check(
        "lifecycle.exit",
        "A request, stream or context that SystemExit or another BaseException ends leaves nothing open.",
        cases=(73,),
        remedy="End the session in `finally`, or whatever the error: not only for None and Exception.",
    ),
    Check(
        "lifecycle.later-context",
        "A context whose teardown failed does not pass its session on to a later context.",
        cases=(19, 31),
        remedy="Key the session by the context object, held weakly; never by its id() or its thread.",
    ),
    Check(
        "lifecycle.nested-contexts",
        "The end of an inner app context does not end the session of the outer one.",
        cases=(20,),
        remedy="Scope the session by the context: the end of the inner one then ends only its session.",
    ),
    Check(
        "lifecycle.request-inside-context",
        "An app context in which a test request was made still leaves nothing open.",
        cases=(21,),
        remedy=f"{REMOVE} Up to Flask 3.1 such a request has no app context of its own, nor an end of it.",
    ),
    Check(
        "lifecycle.with-client",
        "In a with-block of the test client, which tears contexts down twice, each request ends its session.",
        cases=(22,),
        remedy="Let the teardown callback accept that there is no session: g.pop('session', None).",
    ),
    Check(
        "lifecycle.thread",
        "A long-lived thread leaves nothing open from a context that has ended.",
        cases=(23,),
        remedy=f"{REMOVE} Push a context in threads: with app.app_context(): ...",
    ),
    Check(
        "lifecycle.cli-command",
        "A command of the app leaves nothing open when it ends.",
        cases=(24,),
        remedy=f"{REMOVE} Declare the command with @app.cli.command, which pushes a context.",
    ),
    Check(
        "lifecycle.failed-flush",
        "A failed flush, even if its error was swallowed, does not break later requests.",
        cases=(25,),
        remedy="End the session with remove() or rollback(), not with a commit() that may raise.",
    ),
    Check(
        "lifecycle.error-handler",
        "The error handler of a request can use the session after a rollback, in the same context.",
        cases=(26,),
        remedy="Do not wrap requests in session.begin(): after a rollback it refuses work until its end.",
    ),
    Check(
        "lifecycle.detached",
        "An object that outlives its request is detached: it cannot open a transaction that is never ended.",
        cases=(27,),
        remedy="End the session with remove() or close(); rollback() leaves its objects attached.",
    ),
    Check(
        "lifecycle.handled-error",
        "Rows that a request wrote before a handled error are not committed.",
        cases=(29,),
        remedy="Commit in the view: a teardown callback sees no handled errors, and its own come too late.",
    ),
    Check(
        "lifecycle.own-session",
        "Each request has a session of its own: in two threads at once, and one after another in one thread.",
        cases=(30,),
        remedy="Do not keep a session() from start-up: use the scoped_session, or g, each time.",
    ),
    Check(
        "lifecycle.clean-connection",
        "Settings, variables, locks and temporary tables of a request do not reach the next request.",
        cases=(79,),
        remedy="Reset the connection when the pool gets it back, or use NullPool; SET LOCAL needs neither.",
        default_of="SQLAlchemy",
    ),
    Check(
        "lifecycle.no-stale-object",
        "A request sees committed changes to a row that an earlier request on its thread has loaded.",
        cases=(31,),
        remedy=REMOVE,
    ),
)
