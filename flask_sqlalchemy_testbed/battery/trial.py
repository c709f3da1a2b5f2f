"""The app under test in one check, and requests to it."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from contextvars import Context
from inspect import currentframe
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

import pytest
from flask import Flask, current_app, has_request_context
from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.orm import Session, object_session

from flask_sqlalchemy_testbed.battery.further import Binds
from flask_sqlalchemy_testbed.battery.pools import limit_wait, most_connections
from flask_sqlalchemy_testbed.battery.preflight import reach
from flask_sqlalchemy_testbed.battery.requests import ADDRESS, Address, add_view, get, reach_at
from flask_sqlalchemy_testbed.battery.tables import OLD_ITEM, OWN, Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task, at_once, poll, wait_for_tasks
from flask_sqlalchemy_testbed.battery.users import log_in
from flask_sqlalchemy_testbed.checks.causes import KEPT, MISPLACED
from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.databases import DISCONNECT_DELAY, Database
from flask_sqlalchemy_testbed.leaks.probe import describe
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.app_option import app_maker
from flask_sqlalchemy_testbed.subject import app_threads, engines
from flask_sqlalchemy_testbed.subject.binding import engine_of
from flask_sqlalchemy_testbed.subject.errors import ObstacleError, SubjectError
from flask_sqlalchemy_testbed.subject.raised import by_handler, line_before_context_ends
from flask_sqlalchemy_testbed.timeline.subscription import Subscription

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.battery.preflight import Preflight

# The checks use so many connections of an app at once, or all if the pool gives fewer.
CONNECTIONS = 3


class Trial:
    """The app under test in one check: its instances, its session, and the check's databases."""

    def __init__(self, request: pytest.FixtureRequest, database: Database) -> None:
        self._request = request
        self._probe = state.run_of(request.config).probe
        self._apps: list[Flask] = []
        self._maker = app_maker(request.config)
        self.subject = self._maker.subject
        self._binds = Binds(request, self.subject)
        self._databases = [database, *self._binds.databases.values()]
        self._other: Database | None = None
        self._preflight: Preflight = request.getfixturevalue("preflight")
        self._as_user: str = settings.setting(request.config, "as-user")
        self._addresses: dict[Database, Address] = {}
        self._numbers = count(1)
        self._of_requests: set[str] = set()
        self._of_contexts: set[str] = set()
        self._engines_made_at: set[str] = set()
        self._handlers: set[str] = set()
        self._wrote: WeakSet[Session] = WeakSet()
        self._commits = Subscription(
            [(Session, "before_commit", self._note_handler), (Session, "after_rollback", self._wrote.discard)]
        )
        self.written: list[str] = []
        """The names of the items that `write` has flushed."""
        self._maker.start(database.uri, self._binds.uris)
        self._probe.look_into("" if self.subject.session_is_callable else self.subject.session_path)
        self.database = database
        self.backend = database.backend.name
        self.of = database.backend.of
        self._commits.install()

    @property
    def other(self) -> Database:
        """Return a second clean database on the same server, which the leak probe also watches."""
        if self._other is None:
            self._other = self._request.getfixturevalue("testbed_other_database")
            self._databases.append(self._other)
        return self._other

    @property
    def bind_uris(self) -> dict[str, str]:
        """Return the URI of each further database of the app, by the name of its engine.

        The databases have the app's own tables.
        """
        if self._binds.databases:
            self.app()
        return self._binds.uris

    @property
    def session(self) -> Any:
        """Return the session of the app under test, resolved anew at each use."""
        return self.subject.session

    def app(self, uri: str | None = None, *, keep: bool = True) -> Flask:
        """Make an app on the check's database, or on the database of `uri`.

        No statement is sent to any other database. The check references the app until the check ends, unless
        `keep` is false. If the pool cannot give the connections that the check needs, it is not applicable.
        """
        address = self._address_on(self._other if self._other and uri == self._other.uri else self.database)
        app = self._maker.make(uri or self.database.uri)
        self._binds.create_tables(app, self._maker)
        self._prepared(app, keep=keep)
        self._bound_pool(app)
        if address is not None:
            reach_at(app, address)
        elif ADDRESS not in app.extensions:
            self._reach(app)
        return app

    def _bound_pool(self, app: Flask) -> None:
        engine, check = self._engine_elsewhere(app), check_of(self._request.node)
        self._engines_made_at.add(engines.made_at(engine))
        self._probe.recognize(self._scoped_session, self._engines_made_at)
        most, needed = most_connections(engine), check.connections if check else 1
        if most < needed:
            connections = f"{most} connection{'s' * (most != 1)}"
            self.not_applicable(f"the pool gives at most {connections}, and this check needs {needed}")
        limit_wait(engine)

    def _engine_elsewhere(self, app: Flask) -> Engine:
        """Return the engine of `app`; a context in this thread would end a session that the app left here."""
        return Task(lambda: self.engine(app)).result()

    def _scoped_session(self) -> object:
        """Return the app's `scoped_session` or the like; None if a look at it could make a session."""
        path = self.subject.session_path
        if path:
            return None if self.subject.session_is_callable else self.session
        return vars(current_app.extensions["sqlalchemy"]).get("session")

    def _reach(self, app: Flask) -> None:
        """Find the address of the app, which was not made before this check."""
        try:
            self._addresses[self.database] = reach(app, self._engine_elsewhere(app), self._as_user)
        except SubjectError as error:
            message = f"The app cannot be tried on {self.backend}: {error}"
            raise ObstacleError(message) from error

    def unused_app(self) -> Flask:
        """Make an app whose session was not looked up yet.

        `app` looks it up, to see its engine.

        The caller looks at the engine before it sends a statement, which could go to any database.
        """
        return self._prepared(self._maker.call(self.database.uri), keep=True)

    def _prepared(self, app: Flask, *, keep: bool) -> Flask:
        # The checks need responses with status 500, whatever the app's own configuration says.
        app.testing = app.debug = False
        app.config["PROPAGATE_EXCEPTIONS"] = False
        if keep:
            self._apps.append(app)
        return app

    def _address_on(self, database: Database) -> Address | None:
        """Return the address of apps on a database; the first call for it logs the user in there."""
        if not self._as_user or self._preflight.address is None:
            return self._preflight.address
        if database not in self._addresses:
            self.log_in(database)
        return self._addresses[database]

    def log_in(self, database: Database) -> None:
        """Run the user's function for requests, if there is one, on a database without the user's rows."""
        if not self._as_user or self._preflight.address is None:
            return
        several = self.subject.makes_several_apps
        # An app that creates its tables on import does so again: those of the test before are dropped.
        with contextlib.nullcontext() if several else self._maker.started(database.uri, self._binds.uris):
            app = self._maker.make(database.uri)
            self._binds.create_tables(app, self._maker)
            self._addresses[database] = log_in(self._as_user, app, self._preflight.address)
            self.engine(app).dispose()
            self._binds.dispose(app)

    def not_applicable(self, reason: str) -> NoReturn:
        """End the check: its claim cannot be observed through this app.

        Args:
            reason: Why, as a clause.
        """
        state.not_applicable(self._request.node, reason)

    def app_with_views(self, uri: str | None = None, *, keep: bool = True) -> Flask:
        """Make an app that writes at `/testbed/write` and lists items at `/testbed/names`."""
        app = self.app(uri, keep=keep)
        add_view(app, "/testbed/write", self.write)
        add_view(app, "/testbed/names", self.read)
        return app

    def engine(self, app: Flask) -> Engine:
        """Return the engine that the session is bound to inside a context of `app`."""
        return engine_of(self.subject, app)

    def rebind(self, app: Flask, uri: str) -> Engine:
        """Bind `app` to another engine with the `init_engine` from the session's module.

        The engine gets the options of the app's own engine.
        """
        options = app.config.get("DATABASE_ENGINE_OPTIONS", {})
        return self.subject.beside_session("init_engine")(uri, app=app, **options)  # type: ignore[no-any-return]

    def read(self) -> list[str]:
        """Return the names of all items, read with the session."""
        return list(self.session.scalars(select(Item.name)))

    def write(self, name: str = "") -> str:
        """Flush an item with the session, without a commit; return "written" as a view's response.

        The default name is a new one each time: the app may commit the items of its requests.
        """
        name = name or f"uncommitted {next(self._numbers)}"
        (self._of_requests if has_request_context() else self._of_contexts).add(name)
        self.session.add(item := Item(name=name))
        self.session.flush()
        if (session := object_session(item)) is not None:
            self._wrote.add(session)
        self.written.append(name)
        return "written"

    def create_own_table(self) -> None:
        """Create the table `OWN` with the session, as a migration of the app would."""
        OWN.create(self.session.connection())
        self.session.commit()

    def commit(self, name: str, **values: Any) -> Item:
        """Commit an item with the session."""
        item = Item(name=name, **values)
        self.session.add(item)
        self.session.commit()
        return item

    def committed(self, database: Database | None = None) -> list[str]:
        """Return the names of the committed items, read over the harness's own connection."""
        rows = (database or self.database).connection.rows("SELECT name FROM testbed_item ORDER BY id")
        return [name for (name,) in rows]

    def connections(self, app: Flask, most: int = CONNECTIONS) -> int:
        """Return the number of connections that the pool of `app` gives at once, up to `most`."""
        return int(min(most, most_connections(self._engine_elsewhere(app))))

    def use_connections(self, app: Flask, most: int = CONNECTIONS) -> int:
        """Execute a query in that many contexts of `app`, all of which hold a connection at once.

        Return how many there were: fewer than `most` if the pool gives fewer.
        """
        number = self.connections(app, most)
        together = threading.Barrier(number, timeout=WITHIN)

        def work() -> None:
            with app.app_context(), self.session.get_bind().connect() as connection:
                connection.execute(select(Item.id))
                # A transaction could be SQLite's only writer.
                connection.rollback()
                together.wait()

        at_once(*[work] * number)
        return number

    def leaks(self) -> list[str]:
        """Return the connections, sessions and transactions that are still open, in words."""
        # In an empty context: to look up a session in a context that is still pushed would create one there.
        return Context().run(self._probe.leaks, *self._databases)

    def assert_nothing_open(self, after: str = "") -> None:
        """Fail the check if a connection, a session or a transaction is still open."""
        __tracebackhide__ = True
        if leaks := self.leaks():
            pytest.fail(f"{after}: {describe(leaks)}" if after else describe(leaks))

    def assert_nothing_left(self) -> None:
        """Fail the check if anything is still open, or if an item was committed that should not be.

        An app may commit the items of a request, or of another context, that succeeds.
        """
        __tracebackhide__ = True
        self.assert_nothing_open()
        rightly = self._of_requests if self._preflight.commits_requests else set()
        rightly |= self._of_contexts if self._preflight.commits_contexts else set()
        if rows := [name for name in self.committed() if name not in rightly]:
            if self._handlers:
                handlers = " and ".join(sorted(self._handlers))
                pytest.fail(f"rows of failed requests are in the database: {rows}, committed {handlers}")
            pytest.fail(f"the database contains rows that the app never committed: {rows}")

    def _note_handler(self, session: Session) -> None:
        if session in self._wrote and (handler := by_handler()):
            self._handlers.add(handler)

    def assert_sessions(self, most: int, after: str) -> None:
        """Fail the check if the server still has more than `most` sessions after its usual delay."""
        __tracebackhide__ = True
        if not poll(lambda: len(self.database.sessions()) <= most, DISCONNECT_DELAY):
            number, kept = len(self.database.sessions()), self.kept_by_other_engines() + app_threads.clause()
            pytest.fail(f"{number} sessions are open {after}; at most {most} may be{kept}")

    def kept_by_other_engines(self) -> str:
        """Return a clause on the other engines of the app's code that keep connections to the database."""
        places = [
            place
            for engine, place in engines.others(self._engines_made_at)
            if engines.has_connections(engine) and self.database.is_named_in(engine.url.database or "")
        ]
        return f"; {KEPT} {', '.join(dict.fromkeys(places))}" if places else ""

    @contextlib.contextmanager
    def noting_detachers(self) -> Iterator[Collection[str]]:
        """Note the lines of the app that take items out of a session before its app context ends."""
        found: dict[str, None] = {}

        def note(_: Session, one: object) -> None:
            # The app may take objects of its own out of its session.
            if isinstance(one, Item) and (place := line_before_context_ends(currentframe())):
                found[place] = None

        with Subscription([(Session, "persistent_to_detached", note)]).installed():
            yield found

    @contextlib.contextmanager
    def only_on(self, database: Database) -> Iterator[None]:
        """Fail the check if the block connects an engine of the app's code to the database of another app."""
        __tracebackhide__ = True
        own, found = (database, *self._binds.databases.values()), dict[str, None]()
        thread = threading.current_thread()

        def note(connection: Connection) -> None:
            name = connection.engine.url.database or ""
            is_own = engines.RUN not in name or any(one.is_named_in(name) for one in own)
            # Other threads may be those of another app.
            if not is_own and thread is threading.current_thread():
                found[engines.made_at(connection.engine)] = None

        with Subscription([(Engine, "engine_connect", note)]).installed():
            yield
        if places := ", ".join(filter(None, found)):
            pytest.fail(f"a request {MISPLACED} {places}")

    def next_test(self) -> None:
        """Clean the database as the harness does between two tests."""
        server = self._request.getfixturevalue("testbed_server")
        state.run_of(self._request.config).isolation(server).clean(self._preflight.schema)
        self.log_in(self.database)
        for app in self._apps if self._addresses else ():
            reach_at(app, self._addresses[self.database])

    def end(self) -> None:
        """Wait for the check's tasks, dispose of the engines of the apps, and let the apps go."""
        self._commits.remove()
        wait_for_tasks()
        for app in self._apps:
            self.engine(app).dispose()
            self._binds.dispose(app)
        self._apps.clear()
        app_threads.end()


def read_twice(trial: Trial, lookup: Callable[[], Item]) -> list[str]:
    """Return an item's name as read before and after another connection changes it."""
    app, kept = trial.app(), []

    def view() -> str:
        # A session that outlives its request would find the object in its identity map.
        kept.append(lookup())
        return kept[-1].name

    add_view(app, "/testbed/item", view)
    trial.database.connection.rows(OLD_ITEM)
    before = get(app, "/testbed/item")
    trial.database.connection.rows("UPDATE testbed_item SET name = 'new'")
    return [before, get(app, "/testbed/item")]
