"""Claims about binding engines to apps."""

from flask_sqlalchemy_testbed.checks.causes import ENGINES_STAY, SHARED_ENGINE
from flask_sqlalchemy_testbed.checks.definition import AVAILABILITY, DATA, Check

CHECKS = (
    Check(
        "binding.uses-the-given-uri",
        "An app's session is bound to the database that its configuration names.",
        severity=DATA,
        cause=SHARED_ENGINE,
        cases=(7,),
        remedy="Make the engine when the app is made, from the configuration of this app.",
    ),
    Check(
        "binding.two-apps",
        "Two apps in one process each keep their own database, or the second app is refused.",
        severity=DATA,
        cause=SHARED_ENGINE,
        cases=(1,),
        needs=("several-apps",),
        remedy="Keep the engine in app.extensions; find it by current_app when a session is made.",
    ),
    Check(
        "binding.app-inside-app",
        "In a context inside another app's context, each app keeps its own database.",
        severity=DATA,
        cause=SHARED_ENGINE,
        cases=(1, 20),
        needs=("several-apps",),
        remedy="Give each app context a session of its own: scope it by the context, not by the thread.",
    ),
    Check(
        "binding.second-app",
        "Making another app does not move the sessions that are in use to another database.",
        severity=DATA,
        cause=SHARED_ENGINE,
        cases=(2,),
        needs=("several-apps",),
        remedy="Do not remove sessions or reconfigure the sessionmaker in the factory.",
    ),
    Check(
        "binding.config-changed-later",
        "After a change of the configuration of a finished app, all threads still use the same database.",
        severity=DATA,
        cause=SHARED_ENGINE,
        cases=(7,),
        remedy="Make the engine once, when the app is made; refuse later changes of the configuration.",
    ),
    Check(
        "binding.first-use",
        "Eight threads that use a new app at the same moment all get the same engine.",
        severity=AVAILABILITY,
        cases=(74,),
        remedy="Make the engine when the app is made; if it is made at first use, hold a lock meanwhile.",
    ),
    Check(
        "binding.dropped-apps",
        "Apps that are gone keep no connections: thirty factory calls do not fill the server.",
        severity=AVAILABILITY,
        cause=ENGINES_STAY,
        cases=(4,),
        needs=("server", "several-apps"),
        remedy="Let the engine go with its app, or dispose of it when another replaces it.",
    ),
    Check(
        "binding.twenty-places",
        "Thirty apps, one after another, all connect to a server that allows twenty connections.",
        severity=AVAILABILITY,
        cause=ENGINES_STAY,
        cases=(4,),
        needs=("container",),
        remedy="Let the engine go with its app, or dispose of it when another replaces it.",
    ),
    Check(
        "binding.log-in",
        "Log-in works with any characters in the password, with and without TLS, the first time and later.",
        severity=AVAILABILITY,
        cases=(8, 13),
        needs=("container", "several-apps"),
        remedy="Quote the password (URL.create does it), and install cryptography beside PyMySQL.",
    ),
    Check(
        "binding.second-engine",
        "A second engine logs in with the first engine's URL object; with its text, str(url), it raises.",
        severity=AVAILABILITY,
        cases=(9,),
        needs=("container",),
        remedy="Pass on the URL object: str(url) replaces the password by ***.",
    ),
    Check(
        "binding.relative-path",
        "A relative path means the same file, whatever the working directory.",
        severity=DATA,
        cases=(11,),
        needs=("embedded", "several-apps"),
        remedy="Resolve the path against app.instance_path before the engine is made.",
        default_of="SQLAlchemy",
    ),
    Check(
        "binding.in-memory",
        "All threads of an app read the same database in memory.",
        severity=AVAILABILITY,
        cases=(10,),
        needs=("embedded", "several-apps"),
        remedy=(
            "Open file:/name?vfs=memdb, which all connections share; or give the engine a StaticPool:"
            " one connection, and so one transaction, for all threads."
        ),
        default_of="SQLAlchemy",
    ),
    Check(
        "binding.starts-without-its-database",
        "While its database is down, the app starts and answers with errors; afterwards it works.",
        severity=AVAILABILITY,
        cases=(12,),
        remedy="Connect on first use, not while the app is made: no create_all() there.",
    ),
    Check(
        "binding.listeners",
        "Making another app adds no listeners to the sessions of the first: each event is heard once.",
        severity=DATA,
        cases=(33,),
        needs=("several-apps",),
        remedy="Register session listeners when the module is imported, not in the factory.",
    ),
    Check(
        "binding.fork",
        "Workers that are forked after the engine was used open their own connections, and do not fail.",
        severity=DATA,
        cases=(6,),
        needs=("gunicorn", "own-sessions"),
        remedy=(
            "In the child, engine.dispose(close=False): os.register_at_fork, or the server's post_fork hook."
        ),
        default_of="SQLAlchemy",
    ),
)
