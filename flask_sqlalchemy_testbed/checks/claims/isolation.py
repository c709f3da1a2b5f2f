"""Claims about tests that do not affect each other."""

from flask_sqlalchemy_testbed.checks.causes import ENGINES_STAY, SESSIONS_STAY_OPEN, SHARED_ENGINE
from flask_sqlalchemy_testbed.checks.changes import REMOVE_LAST
from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, PORTABILITY, Check

KEYS_ARE_RESET = "the server generates the keys, and the harness resets them"
REFUSED = "an app on another database is refused before any statement is sent"

CHECKS = (
    Check(
        "isolation.committed-rows-go",
        "Rows that a view committed are visible in the same test, and gone in the next.",
        severity=DATA,
        cause=SESSIONS_STAY_OPEN,
        cases=(65,),
        remedy=f"{REMOVE_LAST} No object outlives its test then.",
    ),
    Check(
        "isolation.objects-of-fixtures",
        "Objects that a fixture made in an open context can be read after a request of the test client.",
        severity=AVAILABILITY,
        cause=SESSIONS_STAY_OPEN,
        cases=(66,),
        remedy="Remove the session at the end of the app context, not of the request.",
    ),
    Check(
        "isolation.worker-holds-on",
        "A thread that still uses the database does not block the next test, or show it any rows.",
        severity=AVAILABILITY,
        cause=SHARED_ENGINE,
        cases=(67,),
        needs=("several-apps",),
        remedy="Give each app an engine of its own.",
    ),
    Check(
        "isolation.database-of-its-own",
        "The session uses a database that this run created under a unique name.",
        severity=DATA,
        cases=(68,),
        unfailable=dict.fromkeys(("sqlite", "postgresql", "mysql", "mariadb"), REFUSED),
    ),
    Check(
        "isolation.keys-start-again",
        "The first row of each test has the same key, whatever ran before.",
        severity=PORTABILITY,
        cases=(69,),
        needs=("restarts-identities",),
        unfailable=dict.fromkeys(("sqlite", "postgresql"), KEYS_ARE_RESET),
    ),
    Check(
        "isolation.nothing-for-the-collector",
        "After an app's engine is disposed of, no connection waits for the garbage collector.",
        severity=AVAILABILITY,
        cause=ENGINES_STAY,
        cases=(70, 5),
        needs=("own-sessions",),
        remedy="Dispose of every engine, also one made during set-up; do not make one for each context.",
    ),
)
