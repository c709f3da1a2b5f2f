import contextlib
import gc
import re
import textwrap
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import flask
import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    NullPool,
    StaticPool,
    String,
    Table,
    create_engine,
    event,
    func,
    make_url,
    select,
    text,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.leaks import callers
from flask_sqlalchemy_testbed.leaks.checkouts import Checkout, Checkouts
from flask_sqlalchemy_testbed.leaks.probe import Probe, describe
from tests.harness.kinds import HELD, OTHERS
from tests.harness.projects import Project

registry = scoped_session(sessionmaker())
current = {"scope": "a"}
by_scope = scoped_session(sessionmaker(), scopefunc=lambda: current["scope"])


# The kind of leak that a prepared transaction is, and the query for it. On MySQL all databases share it.
PREPARED = {
    "postgresql": ("transaction", "SELECT gid FROM pg_prepared_xacts"),
    "mysql": ("change", "XA RECOVER"),
}


class Base(DeclarativeBase):
    pass


class Thing(Base):
    __tablename__ = "things"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)


@pytest.fixture
def engine(testbed_database: Database) -> Iterator[Engine]:
    engine = create_engine(testbed_database.uri)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def probe(testbed_database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Probe]:
    """Return a probe beside the run's, with a shorter wait for disconnections."""
    monkeypatch.setattr("flask_sqlalchemy_testbed.leaks.probe.DISCONNECT_DELAY", 0.1)
    probe = Probe(f"{__name__}:registry")
    probe.install()
    probe.start(testbed_database)
    yield probe
    probe.repair(testbed_database)
    probe.remove()


def execute(engine: Engine, statements: Iterable[str]) -> None:
    """Execute the statements on one connection, which goes back to its pool."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(text(statement))


def shown(engine: Engine, query: str) -> list[str]:
    """Return the rows of the query as text, seen by a new connection."""
    with create_engine(engine.url, poolclass=NullPool).connect() as connection:
        return sorted(map(str, connection.execute(text(query))))


def kinds(leaks: list[str]) -> list[str]:
    return sorted({leak.partition(" ")[0] for leak in leaks})


def write(connection: object) -> None:
    connection.execute(text("INSERT INTO things VALUES (1)"))  # type: ignore[attr-defined]


def dispose_of_the_pool(engine: Engine) -> object:
    connection = engine.connect()
    engine.dispose()
    return connection


def detach(engine: Engine) -> object:
    connection = engine.connect()
    connection.detach()
    return connection


def in_a_thread(engine: Engine) -> object:
    left: list[object] = []
    thread = threading.Thread(target=lambda: left.append(engine.connect()), name="worker")
    thread.start()
    thread.join()
    return left


def driver_connection(engine: Engine) -> DBAPIConnection:
    args, options = engine.dialect.create_connect_args(engine.url)
    return engine.dialect.connect(*args, **options)


@pytest.mark.parametrize(
    ("leave", "place"),
    [
        (lambda engine: engine.connect(), "in <lambda>"),
        (lambda engine: engine.raw_connection(), "in <lambda>"),
        (lambda engine: create_engine(engine.url, poolclass=NullPool).connect(), "in <lambda>"),
        (lambda engine: create_engine(engine.url, poolclass=StaticPool).connect(), "in <lambda>"),
        (
            lambda engine: create_engine(
                engine.url.set(database=None, host=None), creator=lambda: driver_connection(engine)
            ).connect(),
            "in <lambda>",
        ),
        (dispose_of_the_pool, "in dispose_of_the_pool"),
        (detach, "in detach"),
        (in_a_thread, ", in worker, taken at"),
    ],
)
def test_an_open_connection_is_found_with_its_code_and_closed(
    testbed_database: Database, engine: Engine, probe: Probe, leave: Callable[[Engine], object], place: str
) -> None:
    left = leave(engine)
    leaks = probe.leaks(testbed_database)

    assert kinds(leaks) == ["connection"]
    assert place in leaks[0]
    assert "test_leaks.py:" in leaks[0]
    assert testbed_database.url.password is None or f":{testbed_database.url.password}@" not in leaks[0]
    probe.repair(testbed_database)
    assert probe.leaks(testbed_database) == []
    del left


def test_a_thread_of_the_app_that_is_at_work_leaves_nothing(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    at_work, ends = threading.Event(), threading.Event()

    def work() -> None:
        with Session(engine) as session:
            registry.registry.set(session)
            write(session)
            at_work.set()
            ends.wait(10)
            session.commit()
        registry.remove()

    thread = threading.Thread(target=work)
    thread.start()
    at_work.wait(10)
    threading.Timer(0.1, ends.set).start()

    assert probe.leaks(testbed_database) == []
    thread.join()


def test_a_session_in_a_transaction_is_found_and_closed(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    session = Session(engine)
    write(session)
    leaks = probe.leaks(testbed_database)

    assert kinds(leaks) == ["connection", "session", "transaction"]
    assert any("Session in a transaction" in leak and "test_leaks.py:" in leak for leak in leaks)
    probe.repair(testbed_database)
    assert probe.leaks(testbed_database) == []
    assert not session.in_transaction()


def test_an_unreferenced_session_that_is_not_closed_is_found(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    """Leave a session to the collector, which alone would return its connection.

    A session and its transaction refer to each other.
    """
    gc.disable()
    try:
        write(Session(engine))
        assert "connection" in kinds(probe.leaks(testbed_database))
    finally:
        gc.enable()


def test_no_number_of_objects_is_named_if_they_were_collected(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    with Session(engine) as session:
        session.add(Thing(id=1))
        session.flush()

        (leak,) = [each for each in probe.leaks(testbed_database) if each.startswith("session")]
        assert "in a transaction, begun at" in leak


@pytest.mark.parametrize(("commit", "found"), [(False, "session"), (True, "holding 1 object,")])
def test_a_session_that_holds_objects_is_found(
    testbed_database: Database, engine: Engine, probe: Probe, *, commit: bool, found: str
) -> None:
    session = Session(engine, expire_on_commit=False)
    thing = Thing(id=1)
    session.add(thing)
    if commit:
        session.commit()

    (leak,) = probe.leaks(testbed_database)
    assert found in leak
    session.close()
    assert probe.leaks(testbed_database) == []


@pytest.mark.parametrize(
    ("name", "scope", "found"),
    [
        ("registry", "a", "registry, for MainThread"),
        ("by_scope", "a", "by_scope, for MainThread"),
        ("by_scope", "b", "by_scope, for the scope 'a'"),
    ],
)
def test_an_unused_session_in_the_registry_is_found(
    testbed_database: Database, monkeypatch: pytest.MonkeyPatch, name: str, scope: str, found: str
) -> None:
    probe = Probe(f"{__name__}:{name}")
    globals()[name]()
    monkeypatch.setitem(current, "scope", scope)

    (leak,) = probe.leaks(testbed_database)
    assert leak == f"registered session in {__name__}:{found}, not used in this test"
    assert describe([leak]).startswith(
        "left in its scoped_session: 1 session that is closed or was never used\n"
    )
    probe.repair(testbed_database)
    assert probe.leaks(testbed_database) == []
    assert not globals()[name].registry.has()


def test_the_first_use_of_a_session_left_in_its_registry_is_in_the_first_line(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    registry.configure(bind=engine)
    registry.execute(text("SELECT 1"))
    registry.close()
    # The next test has not used it.
    probe.start(testbed_database)

    first = describe(probe.leaks(testbed_database)).splitlines()[0]

    assert re.search(r"never used, first used at \S*test_leaks\.py:\d+ in test_the_first_use_of", first)


def test_a_connection_may_be_collected_while_connections_are_listed(
    testbed_database: Database, engine: Engine
) -> None:
    checkouts = Checkouts()
    checkouts.track(testbed_database)
    found: list[Checkout] = []

    class Collecting:
        @property
        def name(self) -> str:
            if connections:
                connections.pop().close()
            return testbed_database.name

    with checkouts.installed():
        connections = [engine.connect(), engine.connect()]
        thread = threading.Thread(target=lambda: found.extend(checkouts.of(Collecting())), daemon=True)  # type: ignore[arg-type] # as the collector
        thread.start()
        thread.join(10)

        assert not thread.is_alive()
        assert len(found) == 2
        assert checkouts.of(testbed_database) == []


def test_a_scoped_session_in_use_is_one_leak_and_names_its_registry(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    registry.configure(bind=engine)
    write(registry)

    sessions = [leak for leak in probe.leaks(testbed_database) if leak.startswith(("session", "registered"))]
    assert len(sessions) == 1
    assert f"kept in {__name__}:registry, for MainThread" in sessions[0]


def test_a_session_whose_close_failed_is_told_apart_from_an_open_one(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    registry.configure(bind=engine)
    registry.scalars(text("SELECT 1")).all()

    @event.listens_for(engine, "rollback")
    def fail(_connection: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        registry.remove()
    event.remove(engine, "rollback", fail)

    leaks = probe.leaks(testbed_database)
    assert "registered" in kinds(leaks)
    assert "session" not in kinds(leaks)
    assert "closed after its use: if its close() failed, remove() did not forget it" in describe(leaks)


@pytest.mark.parametrize("name", ["nowhere:nothing", f"{__name__}:nothing", f"{__name__}:Base.metadata"])
def test_a_missing_registry_has_no_leaks(testbed_database: Database, name: str) -> None:
    assert Probe(name).leaks(testbed_database) == []


@pytest.mark.parametrize(
    ("statement", "end"),
    [
        ("INSERT INTO things VALUES (1)", "close"),
        ("SELECT * FROM things", "close"),
        pytest.param("SELECT * FROM things", "repair", marks=pytest.mark.testbed_needs("server")),
    ],
)
def test_a_transaction_outside_sqlalchemy_is_found_on_the_server(
    testbed_database: Database, engine: Engine, probe: Probe, statement: str, end: str
) -> None:
    with engine.begin() as setup:
        setup.execute(text("INSERT INTO things VALUES (7)"))
    connection = driver_connection(engine)
    cursor = connection.cursor()
    cursor.execute(statement)

    assert kinds(probe.leaks(testbed_database)) == ["transaction"]
    if end == "repair":
        probe.repair(testbed_database)
        assert probe.leaks(testbed_database) == []
    cursor.close()
    connection.close()
    assert probe.leaks(testbed_database) == []


@pytest.mark.testbed_needs("embedded")
@pytest.mark.parametrize("wrote", [False, True])
def test_a_reader_of_a_file_with_a_write_ahead_log_is_found(
    testbed_database: Database, engine: Engine, probe: Probe, *, wrote: bool
) -> None:
    connection = driver_connection(engine)
    connection.cursor().execute("PRAGMA journal_mode = wal")
    if wrote:
        connection.cursor().execute("INSERT INTO things VALUES (1)")
        connection.commit()
    cursor = connection.cursor()
    cursor.execute("SELECT * FROM sqlite_master")

    assert kinds(probe.leaks(testbed_database)) == ["transaction"]
    cursor.close()
    assert probe.leaks(testbed_database) == []
    connection.close()


def test_what_a_pooled_connection_leaves_is_found_and_ended(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    for kind in testbed_database.backend.of(HELD):
        before = shown(engine, kind.query)
        execute(engine, kind.statements)
        assert shown(engine, kind.query) != before

        leaks = probe.leaks(testbed_database)
        assert kind.name in kinds(leaks), kind.statements
        probe.repair(testbed_database)
        assert probe.leaks(testbed_database) == []
        assert shown(engine, kind.query) == before
        engine.dispose()


def prepare(engine: Engine) -> Session:
    session = Session(engine, twophase=True)
    write(session)
    session.prepare()
    return session


def prepare_and_lose_the_connection(engine: Engine) -> None:
    prepare(engine).invalidate()


@pytest.mark.testbed_needs("server")
@pytest.mark.parametrize("leave", [prepare, prepare_and_lose_the_connection])
def test_a_transaction_that_a_session_has_prepared_is_found_and_rolled_back(
    testbed_database: Database, engine: Engine, probe: Probe, leave: Callable[[Engine], object]
) -> None:
    kind, query = testbed_database.backend.of(PREPARED)
    left = leave(engine)
    assert len(shown(engine, query)) == 1

    assert kind in kinds(probe.leaks(testbed_database))
    probe.repair(testbed_database)
    assert probe.leaks(testbed_database) == []
    assert shown(engine, query) == []
    assert shown(engine, "SELECT id FROM things") == []
    del left


@pytest.mark.testbed_needs("server")
def test_a_database_that_a_test_created_is_found_and_left(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    execute(engine, ["CREATE DATABASE testbed_left"])
    try:
        assert probe.leaks(testbed_database) == ["change of the server: database testbed_left was created"]
        probe.repair(testbed_database)
        assert ("testbed_left",) in testbed_database.connection.rows(testbed_database.backend.databases)
    finally:
        execute(engine, ["DROP DATABASE testbed_left"])
    assert probe.leaks(testbed_database) == []


def test_changes_of_the_server_by_others_are_ignored(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    changes = [kind for kind in testbed_database.backend.of(HELD) if kind.name == "change"]
    statements, undo = testbed_database.backend.of(OTHERS)
    execute(engine, statements)
    connection = driver_connection(engine)
    engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
    for statement in [each for kind in changes for each in kind.statements]:
        connection.cursor().execute(statement)
    connection.close()

    assert [leak for leak in probe.leaks(testbed_database) if leak.startswith("change")] == []
    execute(engine, undo)


def test_ordinary_statements_are_not_taken_for_rare_ones(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    users = Table(
        "user",
        MetaData(),
        *(
            Column(name, String(20))
            for name in ("role", "password", "comment", "global", "set", "xa", "create")
        ),
    )
    users.create(engine)
    probe.start(testbed_database)
    before = probe.statements.definitions
    with engine.begin() as connection:
        connection.execute(users.insert().values(password="x", role="GRANT a TO b"))
        connection.execute(users.update().values(dict.fromkeys(users.c, "DROP ROLE x")))
        connection.execute(select(users, func.lower(users.c.comment)).order_by(users.c.xa))
        connection.execute(users.delete())

    assert probe.statements.definitions == before
    assert not probe.statements.seen


def test_closed_connections_and_sessions_are_no_leaks(
    testbed_database: Database, engine: Engine, probe: Probe
) -> None:
    with engine.begin() as connection:
        write(connection)
    with engine.connect() as connection:
        connection.invalidate()
    detached = engine.raw_connection()
    detached.detach()
    detached.close()
    with Session(engine) as session:
        thing = session.get(Thing, 1)
    registry.configure(bind=engine)
    registry.scalars(text("SELECT 1")).all()
    registry.remove()
    with contextlib.suppress(ZeroDivisionError), Session(engine) as session:
        session.add(Thing(id=2))
        session.flush()
        raise ZeroDivisionError

    assert thing is not None
    assert probe.leaks(testbed_database) == []


def test_other_databases_are_ignored(testbed_database: Database, probe: Probe) -> None:
    elsewhere = create_engine("sqlite://")
    with elsewhere.connect(), Session(elsewhere) as session:
        session.execute(text("SELECT 1"))

        assert probe.leaks(testbed_database) == []
    elsewhere.dispose()


def test_databases_of_the_run_are_tracked_apart(testbed_database: Database, engine: Engine) -> None:
    other = Database(testbed_database.backend, testbed_database.url.set(database="another"))
    checkouts = Checkouts()
    checkouts.install()
    checkouts.track(testbed_database)
    checkouts.track(other)

    with engine.connect():
        assert len(checkouts.of(testbed_database)) == 1
        assert checkouts.of(other) == []
    checkouts.remove()


LEAKY = """
    import pytest
    from sqlalchemy import create_engine, text

    kept = []

    @pytest.fixture
    def engine(database_uri):
        engine = create_engine(database_uri)
        yield engine
        engine.dispose()

    def leave(engine):
        connection = engine.connect()
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
        connection.execute(text("INSERT INTO t VALUES (1)"))
        kept.extend([connection, engine.connect()])

    def test_leaky(engine):
        leave(engine)

    def test_failing_and_leaky(engine):
        leave(engine)
        assert 1 == 2

    @pytest.mark.parametrize("time", [1, 2])
    def test_clean(engine, time):
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (x INTEGER)"))
"""


def test_a_leak_fails_its_own_test_and_hides_no_failure(project_here: Project) -> None:
    project_here.write(LEAKY)
    outcome = project_here.run("-v")

    assert [line.split()[1] for line in outcome.lines("FAILED ")] == [
        f"test_inner.py::{test}[{name}]"
        for name in project_here.backends
        for test in ("test_leaky", "test_failing_and_leaky")
    ]
    assert len(outcome.lines("left open: 2 connections")) == 2 * len(project_here.backends)
    assert len(outcome.lines("E       assert 1 == 2")) == len(project_here.backends)
    assert "test_inner.py:14 in leave" in outcome.text
    tests = 2 * len(project_here.backends)
    assert re.search(rf"\b{tests} failed, {tests} passed in ", outcome.text)
    assert outcome.code == pytest.ExitCode.TESTS_FAILED


def test_only_the_databases_of_fixtures_are_watched_for_leaks(project_on_one: Project) -> None:
    project_on_one.write("""
        from sqlalchemy import create_engine

        kept = []

        def test_own_file(tmp_path):
            kept.append(create_engine(f"sqlite:///{tmp_path / 'own.db'}").connect())

        def test_own_file_beside_the_database(tmp_path, database_uri):
            kept.append(create_engine(f"sqlite:///{tmp_path / 'own.db'}").connect())
    """)

    assert re.search(r"\b2 passed in ", project_on_one.run().text)


CHANGING = """
    from sqlalchemy import NullPool, create_engine, text

    def test_changing(database_uri, testbed_backend):
        engine = create_engine(database_uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE TABLE things (id INTEGER)"))
            for statement in testbed_backend.of(CHANGES):
                connection.execute(text(statement))

    def test_next(database_uri):
        pass
"""


def test_a_change_of_the_server_fails_its_own_test_and_is_undone(
    project_here: Project, testbed_database: Database, engine: Engine
) -> None:
    kinds = [kind for kind in testbed_database.backend.of(HELD) if kind.name == "change"]
    before = [shown(engine, kind.query) for kind in kinds]
    project_here.backends = [testbed_database.backend.name]
    changes = {name: sum((kind.statements for kind in kinds), ()) for name in project_here.backends}
    project_here.write(f"CHANGES = {changes!r}\n{textwrap.dedent(CHANGING)}")
    outcome = project_here.run()

    assert ("1 failed, 1 passed" if kinds else "2 passed") in outcome.text
    assert len(outcome.lines("left behind: 1 change")) == len(kinds)
    assert [shown(engine, kind.query) for kind in kinds] == before


SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(30)",
    "mysql": "SELECT SLEEP(30)",
}
AT_WORK = """
    import threading
    from contextlib import suppress

    from sqlalchemy import create_engine, event, text

    def test_leaky(database_uri, testbed_backend):
        engine, at_work = create_engine(database_uri), threading.Event()

        @event.listens_for(engine, "before_cursor_execute")
        def note(*_):
            at_work.set()

        def work():
            with suppress(Exception), engine.connect() as connection:
                connection.execute(text(testbed_backend.of(SLOW))).all()

        threading.Thread(target=work, daemon=True, name="worker").start()
        at_work.wait()

    def test_next(database_uri):
        pass
"""


@pytest.mark.bad_day
def test_a_connection_on_which_a_thread_executes_a_statement_ends_no_process(
    project_here: Project, testbed_database: Database
) -> None:
    project_here.backends = [testbed_database.backend.name]
    project_here.write(f"SLOW = {SLOW!r}\n{textwrap.dedent(AT_WORK)}")

    outcome = project_here.run()

    assert "1 failed, 1 passed" in outcome.text
    assert ", in worker, taken at" in outcome.text
    assert outcome.code == pytest.ExitCode.TESTS_FAILED


def test_lines_of_flask_are_left_out_and_those_of_an_extension_stay() -> None:
    folder = Path(flask.__file__).parents[1]
    files = [folder / "flask_login" / "utils.py", folder / "flask" / "app.py", Path(callers.__file__)]

    found = callers.lines([(compile("", str(file), "exec"), 7) for file in files])

    assert [line.rpartition("/")[2] for line in found] == ["utils.py:7 in <module>", "code of the testbed"]


@pytest.mark.parametrize(
    ("connection_string", "is_named"),
    [
        ("postgresql://tea@127.0.0.1:5432/testbed_1", True),
        ("host=127.0.0.1 dbname=testbed_1 user=tea", True),
        ("testbed_1", True),
        ("postgresql://tea@127.0.0.1:5432/testbed_10", False),
        ("/files/testbed_1/testbed_10.db", False),
        ("/files/testbed_1/testbed_1.db", False),
    ],
)
def test_the_path_of_a_file_names_no_database_of_a_server(connection_string: str, *, is_named: bool) -> None:
    database = Database(BACKENDS["postgresql"], make_url("postgresql+psycopg2://tea@127.0.0.1/testbed_1"))

    assert database.is_named_in(connection_string) is is_named


def test_a_leak_is_found_on_each_backend_in_any_order(project_here: Project) -> None:
    project_here.write("def pytest_collection_modifyitems(items):\n    items.reverse()\n", "conftest.py")
    project_here.write(
        """
        from sqlalchemy import create_engine

        kept = []

        def test_it(database_uri):
            kept.append(create_engine(database_uri).connect())
        """
    )
    outcome = project_here.run()

    failures = [f"test_it[{backend}] - Failed: left open: 1 connection" for backend in project_here.backends]
    assert [each for each in failures if each not in outcome.text] == [], outcome.text
