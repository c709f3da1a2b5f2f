"""Claims that hold only for bindings that promise them, such as `app.database`."""

from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, PORTABILITY, Check

BY_CONTEXT = "Scope the session by the context object, outside contexts by the thread; remove both kinds."

CHECKS = (
    Check(
        "promises.outside-contexts",
        "While exactly one engine is live, a session outside contexts works on that engine until removed.",
        severity=DATA,
        cases=(23,),
        remedy="Outside contexts, bind the session to the one live engine.",
    ),
    Check(
        "promises.thread-local",
        "Outside contexts each thread has a session of its own.",
        severity=DATA,
        cases=(23,),
        remedy=BY_CONTEXT,
    ),
    Check(
        "promises.several-engines",
        "Outside contexts, with several live engines, the session raises instead of choosing one.",
        severity=DATA,
        cases=(1,),
        remedy="Raise an error that names the remedy: with app.app_context(): ...",
    ),
    Check(
        "promises.unbound",
        "Before an engine exists, the session raises an error that says what to call.",
        severity=AVAILABILITY,
        cases=(12,),
        remedy="Raise your own error, which names the factory, where the engine is looked up.",
    ),
    Check(
        "promises.rebinding",
        "After an app is rebound, no thread uses the old engine: its sessions raise until they are removed.",
        severity=DATA,
        cases=(2,),
        remedy="Compare the session's engine with the app's at each use; configure(bind=...) only warns.",
    ),
    Check(
        "promises.rebinding-in-a-block",
        "After an app is rebound, a block `with session.begin():` raises at its end and commits nothing.",
        severity=DATA,
        cases=(2,),
        remedy="Compare the session's engine with the app's in a listener for `before_commit` too.",
    ),
    Check(
        "promises.rebinding-disposes",
        "Rebinding an app closes its connections to the old database, also that of the caller's session.",
        severity=AVAILABILITY,
        cases=(4, 5),
        needs=("server", "own-sessions"),
        remedy="Dispose of the engine that is replaced.",
    ),
    Check(
        "promises.dispose",
        "A connection that was in use when its engine was disposed of is closed when it is returned.",
        severity=AVAILABILITY,
        cases=(5,),
        needs=("server", "own-sessions"),
        remedy="On checkin, invalidate connections that were opened before the last engine_disposed.",
    ),
    Check(
        "promises.listeners",
        "A listener on the session hears each event once, however often apps are rebound.",
        severity=DATA,
        cases=(33,),
        remedy="Give scoped_session a sessionmaker, not a lambda, which cannot have listeners.",
    ),
    Check(
        "promises.unwrapped-stream",
        "A generator without stream_with_context has a session on its app's engine until the response ends.",
        severity=AVAILABILITY,
        cases=(17,),
        remedy="Scope a session used after its context by the response; end it when the response closes.",
    ),
    Check(
        "promises.outliving-thread",
        "A thread that outlives its request, in a copy of its context, is refused a session or leaves none.",
        severity=AVAILABILITY,
        cases=(81,),
        remedy="Refuse sessions to a context that has ended; in the thread, push a context of its own.",
    ),
    Check(
        "promises.defaults",
        "autoflush and expire_on_commit are on, inside and outside requests, for raw SQL too.",
        severity=PORTABILITY,
        cases=(28,),
        remedy="Set both where the session is made: sessionmaker and create_session have different defaults.",
    ),
    Check(
        "promises.in-memory",
        "In a database in memory, which all threads share, each session has its own transaction.",
        connections=2,
        severity=AVAILABILITY,
        cases=(10,),
        needs=("embedded",),
        remedy="Open file:/name?vfs=memdb: each connection then has its own transaction on one database.",
    ),
    Check(
        "promises.bare-scheme",
        "A URI without a driver means the driver that is installed.",
        severity=PORTABILITY,
        cases=(3,),
        needs=("server",),
        remedy="Add the driver to the URI: SQLAlchemy 2.1 reads postgresql:// as psycopg 3.",
    ),
)
