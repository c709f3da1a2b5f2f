"""Make the app of each backend, and a connection that the app does not manage."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from os import PathLike
from threading import Lock
from typing import Any

from flask import Config, Flask, abort, current_app, request
from flask.ctx import AppContext
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from app import create_app
from app.database import get_engine, live_sessions
from app.database.url import read_password
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.databases import Database

from .models import TrialBase, create_tables_on_first_contact
from .tape import Tape

VIEW = "trials.view"
# Connection arguments that the page does not show.
NOT_OPTIONS = {"host", "port", "user", "username", "password", "passwd", "database", "dbname", "db"}


@dataclass
class Leak:
    """An app context that was pushed and not popped, with its session and its connection."""

    context: Context
    pushed: AppContext
    tape: Tape

    def let_go(self, tape: Tape) -> None:
        """Pop the context, which ends its session. Its tape and `tape` record the events."""
        self.context.run(tape.listen)
        try:
            self.context.run(self.pushed.pop)
        finally:
            self.tape.events += tape.events


@dataclass
class Mounted:
    """The app of a backend, with the state that the trial keeps for it."""

    backend: Backend
    app: Flask
    engine: Engine
    is_optional: bool = False
    """Whether the page shows it only after its server has answered once."""
    options: dict[str, Any] = field(default_factory=dict)
    """The options of the last connection, without address and login; empty before the first one."""
    leaks: list[Leak] = field(default_factory=list)
    busy: Lock = field(default_factory=Lock)
    """Held by the action that runs on this backend."""

    @property
    def name(self) -> str:
        """Return the name of the backend, which is also the path of its app."""
        return self.backend.name

    @contextlib.contextmanager
    def outside(self, **options: object) -> Iterator[Database]:
        """Connect to the database outside the app, its pool and its events, for the `with` block."""
        url = self.engine.url
        if path := self.app.config.get("DATABASE_PASSWORD_FILE"):
            # The app reads it at each connection: the URL of its engine has no password.
            url = url.set(password=read_password(path))
        database = Database(self.backend, url)
        given = {**self.backend.connect_options, **self.backend.login_options, **options}
        database.connection = Connection(url, options=given, setup=self.backend.session_setup)
        try:
            yield database
        finally:
            database.connection.close()

    def sessions(self) -> list[Session]:
        """Return the sessions of ``db_session`` that are on this app's engine and have not ended."""
        return [session for session in live_sessions() if session.bind is self.engine]

    def pool(self) -> Counter[str]:
        """Return the size of the pool, its checked out connections, and its overflow."""
        pool: Any = self.engine.pool
        return Counter(
            size=pool.size(),
            checked_out=pool.checkedout(),
            overflow=max(0, pool.overflow()),
            most_overflow=pool._max_overflow,  # noqa: SLF001 - the pool has no public name for it
        )


def mount(
    name: str, config: str | PathLike[str] | Mapping[str, Any], *, trials: bool, is_optional: bool = False
) -> Mounted:
    """Make the app of a backend, without connecting.

    Args:
        name: The name of the backend.
        config: The configuration of the app.
        trials: Whether scenarios can run in the app.
        is_optional: Whether the page shows it only after its server has answered once.

    Returns:
        The app, which the caller keeps alive.
    """
    app = create_app(config)
    with app.app_context():
        engine = get_engine()
    create_tables_on_first_contact(engine, *([TrialBase.metadata] if trials else []))
    if trials:
        app.add_url_rule("/trial/<scenario>", view_func=act)
    mounted = Mounted(BACKENDS[name], app, engine, is_optional)

    def connects(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        mounted.options = {key: value for key, value in options.items() if key not in NOT_OPTIONS}

    event.listen(engine, "do_connect", connects)
    return mounted


def act(scenario: str) -> Any:
    """Answer with the view that a scenario put into the WSGI environment.

    No HTTP client can set it.
    """
    view = request.environ.get(VIEW) or abort(404, f"Scenario {scenario!r} runs only from the page.")
    return current_app.ensure_sync(view)()


def settings(path: str | PathLike[str]) -> Config:
    """Read the settings of the trial itself."""
    config = Config(".")
    config.from_pyfile(str(path))
    return config
