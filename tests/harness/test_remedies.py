"""An app passes the checks of a cause after exactly the change that the report describes."""

import gc
import json
import os
import re
import sys
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from app.database import reset
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.checks import changes
from flask_sqlalchemy_testbed.checks.causes import (
    CAUSES,
    COMMITS_LATE,
    DETACHED,
    EARLY_CONNECTION,
    ENDED_EARLY,
    ENDLESS_WAIT,
    ENGINES_STAY,
    ERROR_HANDLER,
    FOREIGN_KEYS_OFF,
    FORKED,
    HELD_STREAM,
    KEPT_SETTINGS,
    LATE_BEGIN,
    LEFT_BESIDE,
    OTHER_ENGINE,
    SCOPED_BY_THREAD,
    SESSIONS_STAY_OPEN,
    SHARED_ENGINE,
    SQLITE_URL,
    TEARDOWN_ORDER,
    TIME_ZONE,
    UNNOTICED_LOSS,
    UNREAD_ROWS,
)
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.report.causes import Group, groups
from tests.harness.obedient import obey
from tests.harness.projects import Project
from tests.harness.shops import FLASK_SQLALCHEMY

BATTERY = ("--pyargs", "flask_sqlalchemy_testbed.battery", "--testbed-app", "shop:create_app")
# An ordinary app: its session and its engine are globals.
NEWCOMER = """
from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

engine = None
db_session = scoped_session(sessionmaker(autoflush=False))


def create_app(config=None):
    global engine
    app = Flask("shop")
    app.config.from_mapping(config)
    engine = create_engine(app.config["DATABASE_URI"])
    db_session.configure(bind=engine)
    return app
"""


def removed(source: str) -> str:
    """Return an app that removes its session at the end of each context."""
    callback = "    app.teardown_appcontext(lambda error: db_session.remove())\n"
    return source.replace("    return app\n", f"{callback}    return app\n")


REMOVED = removed(NEWCOMER)
AFTER_REQUESTS = REMOVED.replace(
    "teardown_appcontext(lambda error: db_session.remove())",
    "after_request(lambda response: db_session.remove() or response)",
)
UNNAMED = (
    REMOVED.replace("engine = None\n", "")
    .replace("    global engine\n", "")
    .replace(
        """    engine = create_engine(app.config["DATABASE_URI"])
    db_session.configure(bind=engine)
""",
        """    db_session.configure(bind=create_engine(app.config["DATABASE_URI"]))
""",
    )
)
BY_FUNCTION = REMOVED.replace(
    """    engine = create_engine(app.config["DATABASE_URI"])
    db_session.configure(bind=engine)
""",
    """    init_engine(app.config["DATABASE_URI"])
""",
).replace(
    """def create_app(config=None):
    global engine
""",
    """def init_engine(uri):
    global engine
    engine = create_engine(uri)
    db_session.configure(bind=engine)


def create_app(config=None):
""",
)
# Each app has its own engine.
ITS_OWN = """
from flask import Flask, current_app
from sqlalchemy import MetaData, create_engine
from sqlalchemy.orm import Session, scoped_session

metadata = MetaData()
db_session = scoped_session(lambda: Session(current_app.extensions["engine"]))


def create_app(config=None):
    app = Flask("shop")
    app.config.from_mapping(config)
    engine = create_engine(app.config["DATABASE_URI"])
    app.extensions["engine"] = engine
    app.teardown_appcontext(lambda error: db_session.remove())
    return app
"""
IN_MODULE = ITS_OWN.replace(
    "from sqlalchemy.orm import Session, scoped_session", "from sqlalchemy import orm"
)
IN_MODULE = IN_MODULE.replace("scoped_session(", "orm.scoped_session(").replace(" Session(", " orm.Session(")
KEPT = ITS_OWN.replace("metadata =", "engines = []\nmetadata =").replace(
    "    app.extensions", "    engines.append(engine)\n    app.extensions"
)
CREATES = ITS_OWN.replace("    return app", "    metadata.create_all(engine)\n    return app")
IN_TOKYO = ITS_OWN.replace(
    "    engine =",
    """    options = {"init_command": "SET time_zone = '+09:00'"}
    if app.config["DATABASE_URI"].startswith("postgresql"):
        options = {"options": "-c timezone=Asia/Tokyo"}
    engine =""",
).replace('_URI"])\n    app.ext', '_URI"], connect_args=options)\n    app.ext')
LITE = FLASK_SQLALCHEMY.replace("flask_sqlalchemy", "flask_sqlalchemy_lite").replace(
    'app.config["SQLALCHEMY_DATABASE_URI"] = config["SQLALCHEMY_DATABASE_URI"]',
    'app.config["SQLALCHEMY_ENGINES"] = config["SQLALCHEMY_ENGINES"]',
)
BY_THREAD = FLASK_SQLALCHEMY.replace(
    "db = SQLAlchemy()",
    'db = SQLAlchemy(session_options={"scopefunc": get_ident, "expire_on_commit": False})',
).replace("from flask import", "from threading import get_ident\n\nfrom flask import", 1)
# Its factory uses a module that a change imports, and connects before it returns the app.
BUSY_FACTORY = FLASK_SQLALCHEMY.replace(
    "    return app",
    """    app.secret_key = os.environ.get("SECRET_KEY")
    with app.app_context():
        db.create_all()
    return app""",
).replace("from flask import", "import os\n\nfrom flask import", 1)
# With rows of its own, which the factory writes.
SEEDED = (
    NEWCOMER.replace(
        "    return app",
        """    Base.metadata.create_all(engine)
    db_session.merge(Book(id=1))
    db_session.commit()
    db_session.remove()
    return app""",
    )
    .replace(
        "engine = None",
        """engine = None


class Base(DeclarativeBase):
    pass


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)

""",
    )
    .replace("import scoped", "import DeclarativeBase, Mapped, mapped_column, scoped")
)
# As SEEDED, but a function of its own writes the rows, and nothing ends its session.
ORDINARY = SEEDED.replace(
    """    db_session.merge(Book(id=1))
    db_session.commit()
    db_session.remove()
""",
    """    seed()
""",
).replace(
    "def create_app",
    """def seed():
    if db_session.get(Book, 1) is None:
        db_session.add(Book(id=1))
        db_session.commit()


def create_app""",
)
IN_CONTEXT = ORDINARY.replace("    seed()", "    with app.app_context():\n        seed()")
AT = "# the place that the report names"


def hooked(code: str) -> str:
    """Return the app of `ITS_OWN` with more lines in its factory."""
    source = ITS_OWN.replace("MetaData, create_engine", "MetaData, create_engine, text")
    return source.replace("    return app\n", f"{code}\n    return app\n")


# The cause, a check that shows it, and the lines with the mistake.
IN_ITS_PLACE = [
    (
        ERROR_HANDLER,
        "lifecycle.failed-request-ends",
        f"""
    @app.errorhandler(500)
    def internal(error):  {AT}
        db_session.execute(text("SELECT 1"))
        db_session.commit()
        return "internal", 500
""",
    ),
    (
        LEFT_BESIDE,
        "lifecycle.request-ends",
        f"""
    kept = []

    @app.after_request
    def count(response):
        session = Session(engine)
        kept.append(session)
        session.execute(text("SELECT 1"))  {AT}
        return response
""",
    ),
    (
        OTHER_ENGINE,
        "isolation.nothing-for-the-collector",
        f"""
    audit = create_engine(app.config["DATABASE_URI"])  {AT}

    @app.after_request
    def count(response):
        with audit.begin() as connection:
            connection.execute(text("SELECT 1"))
        return response
""",
    ),
]
# Its session is in `g`, and a function returns it.
IN_G = """
from flask import Flask, g
from sqlalchemy import create_engine
from sqlalchemy.orm import Session, sessionmaker

engine = None
SessionLocal = sessionmaker()


def get_db():
    if "db" not in g:
        g.db = SessionLocal()
    return g.db


def close_db(error=None):
    db = g.pop("db", None)
    if db is not None:
        db.close()


def create_app(config=None):
    global engine
    app = Flask("shop")
    app.config.from_mapping(config)
    engine = create_engine(app.config["DATABASE_URI"])
    SessionLocal.configure(bind=engine)
    app.teardown_appcontext(close_db)
    return app
"""
MADE_IN_G = (
    IN_G.replace("SessionLocal = sessionmaker()\n", "")
    .replace("    SessionLocal.configure(bind=engine)\n", "")
    .replace("SessionLocal()", "Session(engine)")
)
on_servers = pytest.mark.testbed_needs("server")
on_files = pytest.mark.testbed_needs("embedded")
on_mysql = pytest.mark.testbed_needs("bounded-reads")
on_any = pytest.mark.any_backend
# Variants of one change are tried on files alone: they differ in the app and not in the database.
# A change of the app's code is tried on one backend, and a change of the connection on each.
TRIED = [
    pytest.param(SESSIONS_STAY_OPEN, NEWCOMER, id="sessions", marks=on_any),
    pytest.param(SESSIONS_STAY_OPEN, AFTER_REQUESTS, id="sessions-after-requests", marks=on_files),
    pytest.param(SHARED_ENGINE, REMOVED, id="engine", marks=on_any),
    pytest.param(SHARED_ENGINE, UNNAMED, id="engine-without-a-name", marks=on_files),
    pytest.param(SHARED_ENGINE, BY_FUNCTION, id="engine-of-a-function", marks=on_files),
    pytest.param(SHARED_ENGINE, removed(SEEDED), id="engine-used-outside-contexts", marks=on_files),
    pytest.param(SHARED_ENGINE, removed(ORDINARY), id="engine-used-before-the-removal", marks=on_files),
    pytest.param(SCOPED_BY_THREAD, ITS_OWN, id="scope", marks=on_any),
    pytest.param(SCOPED_BY_THREAD, IN_MODULE, id="scope-by-the-name-of-a-module", marks=on_files),
    pytest.param(SCOPED_BY_THREAD, BY_THREAD, id="scope-of-Flask-SQLAlchemy", marks=on_files),
    pytest.param(TEARDOWN_ORDER, REMOVED, id="teardown", marks=on_any),
    pytest.param(TEARDOWN_ORDER, FLASK_SQLALCHEMY, id="teardown-of-Flask-SQLAlchemy", marks=on_files),
    pytest.param(TEARDOWN_ORDER, LITE, id="teardown-of-Lite", marks=on_files),
    pytest.param(FOREIGN_KEYS_OFF, REMOVED, id="keys", marks=on_files),
    pytest.param(FOREIGN_KEYS_OFF, UNNAMED, id="keys-without-a-name", marks=on_files),
    pytest.param(FOREIGN_KEYS_OFF, BUSY_FACTORY, id="keys-of-a-busy-factory", marks=on_files),
    pytest.param(SQLITE_URL, REMOVED, id="url", marks=on_files),
    pytest.param(LATE_BEGIN, ITS_OWN, id="begin", marks=on_files),
    pytest.param(FORKED, ITS_OWN, id="fork", marks=on_any),
    pytest.param(FORKED, BUSY_FACTORY, id="fork-of-a-busy-factory", marks=on_files),
    pytest.param(HELD_STREAM, ITS_OWN, id="stream", marks=on_any),
    pytest.param(KEPT_SETTINGS, ITS_OWN, id="settings"),
    pytest.param(EARLY_CONNECTION, CREATES, id="early"),
    pytest.param(ENGINES_STAY, KEPT, id="dispose", marks=on_servers),
    pytest.param(TIME_ZONE, IN_TOKYO, id="zone", marks=on_servers),
    pytest.param(ENDLESS_WAIT, ITS_OWN, id="wait", marks=on_servers),
    pytest.param(UNNOTICED_LOSS, ITS_OWN, id="loss", marks=on_mysql),
    pytest.param(UNREAD_ROWS, ITS_OWN, id="unread", marks=on_mysql),
]

# Those whose failures once were put to a wrong cause, and one of each other cause.
ONE_BY_ONE = (
    "lifecycle.request-ends",
    "lifecycle.context-ends",
    "lifecycle.thread",
    "lifecycle.unread-rows",
    "lifecycle.nested-contexts",
    "lifecycle.async-view",
    "lifecycle.later-context",
    "lifecycle.clean-connection",
    "lifecycle.held-stream",
    "binding.two-apps",
    "binding.relative-path",
    "binding.starts-without-its-database",
    "portability.foreign-keys",
    "transactions.savepoint-released",
)


def failures(project: Project, checks: Iterable[str] = (), *options: str) -> list[Group]:
    """Run the battery, or some of its checks; return the causes of the failures."""
    words = [word for check in checks for word in ("--testbed-check", check)]
    # A warning that a session is left is no error for the command, which reads no configuration of pytest.
    if "def get_db" in (project.path / "shop.py").read_text(encoding="utf-8"):
        words += ["--testbed-session", "shop:get_db"]
    words += ["-q", "-o", "filterwarnings=", "--testbed-matrix", "matrix.json"]
    outcome = project.run(*BATTERY, *words, *options, GITHUB_ACTIONS="")
    assert outcome.code in {0, 1}, outcome.text
    assert "MySQLResult.__del__" not in outcome.text
    return groups(json.loads((project.path / "matrix.json").read_text(encoding="utf-8")))


def checks_of(cause: str) -> list[str]:
    one = CAUSES[cause]
    names = {cause, *one.includes} - ({SESSIONS_STAY_OPEN} if one.name != SESSIONS_STAY_OPEN else set())
    shown = {CAUSES[name].shown_by for name in names} - {""}
    found = [check.id for check in CHECKS.values() if check.cause in names and not check.option]
    if cause == SESSIONS_STAY_OPEN:
        return ["lifecycle.request-ends", "lifecycle.context-ends", "lifecycle.cli-command"]
    found += one.consequences
    return [*shown, *(check for check in found if check not in shown)]


def test_each_cause_with_code_is_tried() -> None:
    assert {str(one.values[0]) for one in TRIED} == {
        cause.name for cause in CAUSES.values() if cause.code or cause.connect_args
    }


@pytest.mark.parametrize(("cause", "source"), TRIED)
def test_the_change_of_a_cause_mends_its_checks(
    project_here: Project, testbed_backend: Backend, cause: str, source: str
) -> None:
    project_here.backends = [testbed_backend.name]
    project_here.write(source, "shop.py")
    checks = checks_of(cause)

    found = {group.cause.name: group for group in failures(project_here, checks) if group.cause}
    assert found[cause].code or "scopefunc" in found[cause].remedy
    changed = obey(project_here.path, found[cause])

    assert [row["id"] for group in failures(project_here, checks) for row in group.rows] == [], changed


@pytest.mark.parametrize(("cause", "check", "code"), IN_ITS_PLACE, ids=[cause for cause, *_ in IN_ITS_PLACE])
def test_the_change_in_the_place_of_a_cause_mends_its_check(
    project_on_one: Project, cause: str, check: str, code: str
) -> None:
    project_on_one.write(source := hooked(code), "shop.py")

    (group,) = failures(project_on_one, [check])
    changed = obey(project_on_one.path, group)

    line = next(number for number, text in enumerate(source.splitlines(), 1) if text.endswith(AT))
    assert (group.cause, group.at) == (CAUSES[cause], f"shop.py:{line}")
    assert failures(project_on_one, [check]) == [], changed


# The function that returns the session is in another module than the app.
KEPT_IN_G = {
    "shop.py": """
from flask import Flask
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

Session = sessionmaker()


def create_app(config=None):
    app = Flask("shop")
    Session.configure(bind=create_engine(config["DATABASE_URI"]))
    return app
""",
    "tb.py": """
from flask import g
from shop import Session


def session():
    if "db" not in g:
        g.db = Session()
    return g.db
""",
}


@pytest.mark.bad_day
def test_the_change_imports_the_function_that_returns_the_session(project_on_one: Project) -> None:
    for name, source in KEPT_IN_G.items():
        project_on_one.write(source, name)
    checks, session = ["lifecycle.request-ends", "lifecycle.context-ends"], "--testbed-session=tb:session"

    (found,) = failures(project_on_one, checks, session)
    changed = obey(project_on_one.path, found)

    assert "from tb import session" in changed
    assert failures(project_on_one, checks, session) == [], changed


@pytest.mark.parametrize("code", [changes.RESET, changes.FORK], ids=["settings", "fork"])
@pytest.mark.parametrize(
    ("uri", "options"),
    [
        ("sqlite://", {"poolclass": SingletonThreadPool}),
        ("sqlite://", {"poolclass": StaticPool}),
        ("sqlite:///file:/kept?vfs=memdb&uri=true", {}),
    ],
    ids=["thread", "static", "memdb"],
)
def test_no_change_ends_a_database_in_memory(
    monkeypatch: pytest.MonkeyPatch, uri: str, options: dict[str, Any], code: str
) -> None:
    monkeypatch.setitem(sys.modules, "reset", reset)
    engine = create_engine(uri, **options)
    exec(code.replace("ENGINE", "engine"), {"engine": engine})  # noqa: S102 - as the report shows it
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept (id INTEGER)"))
    with engine.begin() as connection:
        connection.execute(text("PRAGMA foreign_keys = OFF"))

    if (child := os.fork()) == 0:
        gc.collect()
        os._exit(inspect(engine).get_table_names() != ["kept"])
    assert os.waitpid(child, 0)[1] == 0
    assert inspect(engine).get_table_names() == ["kept"]
    engine.dispose()


@pytest.mark.testbed_needs("bounded-reads")
def test_an_engine_of_its_own_has_no_limits_of_the_change(database_uri: str) -> None:
    engine = create_engine(database_uri)
    exec(CAUSES[ENDLESS_WAIT].code_in({"ENGINE": "engine"}), {"engine": engine})  # noqa: S102 - as shown
    limits = []
    for one in (engine, create_engine(engine.url)):
        with one.connect() as connection:
            limits.append(connection.scalar(text("SELECT @@lock_wait_timeout")))
        one.dispose()

    assert limits[0] == 5
    assert limits[1] > 3600


def test_a_transaction_can_take_the_lock_of_sqlite_at_its_beginning(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}", connect_args={"timeout": 0})
    exec(changes.BEGIN.replace("ENGINE", "engine"), {"engine": engine})  # noqa: S102 - as the report shows it
    immediate = {"sqlite_begin": "IMMEDIATE"}

    with Session(engine) as first, Session(engine) as second:
        first.connection()
        second.connection(execution_options=immediate)
        with pytest.raises(OperationalError, match="database is locked"), Session(engine) as third:
            third.connection(execution_options=immediate)
    engine.dispose()


@pytest.mark.bad_day
def test_tables_are_created_after_another_writer_of_sqlite_with_the_option_in_the_remedy(
    tmp_path: Path,
) -> None:
    engine, metadata = create_engine(f"sqlite:///{tmp_path / 'app.db'}"), MetaData()
    Table("seats", metadata, Column("id", Integer, primary_key=True))
    exec(changes.BEGIN.replace("ENGINE", "engine"), {"engine": engine})  # noqa: S102 - as the report shows it
    (advised,) = re.findall(r"metadata\.create_all\(.*?\)\)", CAUSES[LATE_BEGIN].note_in({}))

    with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as writer:
        writer.exec_driver_sql("CREATE TABLE other (id INTEGER)")
        with pytest.raises(OperationalError, match="database is locked"):
            metadata.create_all(engine)
        end = threading.Timer(1, writer.commit)
        end.start()
        exec(advised, {"engine": engine, "metadata": metadata})  # noqa: S102 - as the report shows it
        end.join()

    assert inspect(engine).get_table_names() == ["other", "seats"]
    engine.dispose()


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("method", "seen"),
    [
        ("POST", pytest.raises(OperationalError, match="database is locked")),
        ("DELETE", pytest.raises(OperationalError, match="database is locked")),
        ("GET", nullcontext()),
    ],
    ids=["POST", "DELETE", "GET"],
)
def test_a_request_that_may_write_has_the_lock_of_sqlite_before_its_first_read(
    tmp_path: Path, method: str, seen: AbstractContextManager[object]
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}", connect_args={"timeout": 0})
    exec(changes.BEGIN.replace("ENGINE", "engine"), {"engine": engine})  # noqa: S102 - as the report shows it

    with Session(engine) as session, Session(engine) as writer:
        with Flask("shop").test_request_context(method=method):
            session.execute(text("SELECT name FROM sqlite_schema"))
        with seen:
            writer.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
    engine.dispose()


@pytest.mark.testbed_needs("embedded")
@pytest.mark.parametrize(
    ("source", "upwards"),
    [
        (SEEDED, False),
        (FLASK_SQLALCHEMY, False),
        (FLASK_SQLALCHEMY, True),
        (IN_G, False),
        (MADE_IN_G, True),
    ],
    ids=["plain", "Flask-SQLAlchemy", "Flask-SQLAlchemy upwards", "in g", "made in g"],
)
def test_an_ordinary_app_passes_the_battery_after_the_changes_of_one_report(
    project_here: Project, testbed_backend: Backend, source: str, *, upwards: bool
) -> None:
    project_here.backends = [testbed_backend.name]
    project_here.write(source, "shop.py")

    with_code = (group for group in failures(project_here) if group.code)
    changed = obey(project_here.path, *with_code, upwards=upwards)

    assert changed.count("in_memory = ") == 1
    assert [row["id"] for group in failures(project_here) for row in group.rows] == [], changed


@pytest.mark.testbed_needs("embedded")
@pytest.mark.parametrize(
    "source", [ORDINARY, removed(ORDINARY), removed(IN_CONTEXT)], ids=["none", "late", "context"]
)
def test_the_changes_one_after_the_other_never_add_a_failure(
    project_here: Project, testbed_backend: Backend, source: str
) -> None:
    project_here.backends = [testbed_backend.name]
    project_here.write(source, "shop.py")

    counts, history = [], [source]
    while found := failures(project_here, ONE_BY_ONE):
        counts.append(sum(len(group.rows) for group in found))
        assert found[0].remedy, found[0].rows
        assert len(counts) < 2 or counts[-1] < counts[-2], "\n\n".join(history[-2:])
        history += [found[0].remedy, obey(project_here.path, found[0])]

    assert counts


def test_a_session_that_stays_open_after_the_factory_is_named_as_the_obstacle(project: Project) -> None:
    project.write(SEEDED.replace("    db_session.remove()\n", ""), "shop.py")

    outcome = project.run(*BATTERY, "--testbed-check", "lifecycle.request-ends", "-o", "filterwarnings=")

    line = (project.path / "shop.py").read_text().splitlines().index("    db_session.commit()") + 1
    assert f"outside app contexts in shop.py:{line - 1}, shop.py:{line}." in outcome.text, outcome.text
    assert "add db_session.remove() after these lines" in outcome.text


@pytest.mark.parametrize("hook", ["after_request", "teardown_appcontext"])
def test_a_commit_at_the_end_of_requests_is_named_and_its_deletion_mends_the_app(
    project: Project, hook: str
) -> None:
    commit = f"    app.{hook}(lambda given: db_session.commit() or given)\n"
    project.write(REMOVED.replace("    return app\n", f"{commit}    return app\n"), "shop.py")
    checks = ("lifecycle.handled-error", "lifecycle.failed-flush", "faults.file-full", "binding.listeners")

    (group,) = failures(project, checks)
    project.write(REMOVED, "shop.py")

    line = REMOVED.splitlines().index("    return app") + 1
    assert (group.at, group.cause and group.cause.name) == (f"shop.py:{line}", COMMITS_LATE)
    assert failures(project, checks) == []


ENDS = {
    "after_request": "    app.after_request(lambda response: db_session.close() or response)\n",
    "teardown_request": "    app.teardown_request(lambda error: db_session.remove())\n",
    "middleware": (
        "    wsgi_app = app.wsgi_app\n"
        "    app.wsgi_app = lambda *given: (wsgi_app(*given), db_session().expunge_all())[0]\n"
    ),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_line_that_ends_the_session_with_a_request_is_named_and_its_deletion_mends_the_app(
    project: Project, end: str
) -> None:
    project.write(source := REMOVED.replace("    return app\n", f"{end}    return app\n"), "shop.py")
    checks = ("isolation.objects-of-fixtures",)

    (group,) = failures(project, checks)
    project.write(REMOVED, "shop.py")

    at = f"shop.py:{source.splitlines().index('    return app')}"
    (reason,) = group.rows[0]["reasons"].values()
    assert reason.endswith(f"the fixture's object is detached, {DETACHED} {at}"), reason
    assert (group.at, group.cause) == (at, CAUSES[ENDED_EARLY])
    assert f"Delete the call in {at}, which closes or removes the session" in group.remedy
    assert failures(project, checks) == []


@pytest.mark.testbed_needs("embedded")
def test_a_callback_may_commit_its_own_rows_after_a_rollback(
    project_here: Project, testbed_backend: Backend
) -> None:
    project_here.backends = [testbed_backend.name]
    audit = """    @app.after_request
    def audit(response):
        db_session.add(Book())
        db_session.commit()
        return response

    return app
"""
    source = removed(SEEDED).replace("    return app\n", audit)
    project_here.write(source, "shop.py")
    checks = [check for group in ("lifecycle", "portability") for check in CHECKS if check.startswith(group)]

    before = failures(project_here, checks)
    (group,) = (one for one in before if one.cause and one.cause.name == COMMITS_LATE)
    (rollback,) = re.findall(r"calls (db_session\.\w+\(\)) before it adds them", group.remedy)
    project_here.write(
        source.replace("        db_session.add", f"        {rollback}\n        db_session.add"), "shop.py"
    )

    others = {row["id"] for one in before for row in one.rows} - {row["id"] for row in group.rows}
    assert {row["id"] for one in failures(project_here, checks) for row in one.rows} <= others
