"""A backend of the trial: its app, and a way into its database that the app knows nothing of."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from flask import Config, abort, current_app, request
from sqlalchemy import event

from app import create_app
from app.database import get_engine, live_sessions
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.databases import Database

from .tables import TrialBase, create_tables_on_first_contact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    from flask import Flask
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from flask_sqlalchemy_testbed.backends.base import Backend

    from .scenarios.leaks import Leak

VIEW = "trials.view"
# Said elsewhere, or nobody's business.
NOT_OPTIONS = {"host", "port", "user", "username", "password", "passwd", "database", "dbname", "db"}


@dataclass
class Mounted:
    """One app under its backend's name, and what the trial knows about it."""

    backend: Backend
    app: Flask
    engine: Engine
    options: dict[str, Any] = field(default_factory=dict)
    """What the driver was given when it last connected, but for who and where; empty before."""
    leaks: list[Leak] = field(default_factory=list)
    busy: Lock = field(default_factory=Lock)
    """Held by the one action that runs here."""

    @property
    def name(self) -> str:
        """The backend's, and the path that it is mounted at."""
        return self.backend.name

    @contextlib.contextmanager
    def outside(self, **options: object) -> Iterator[Database]:
        """Lend the database over a connection past the app, its pool and its events; it is closed then."""
        database = Database(self.backend, self.engine.url)
        given = {**self.backend.connect_options, **self.backend.login_options, **options}
        database.connection = Connection(self.engine.url, options=given, setup=self.backend.session_setup)
        try:
            yield database
        finally:
            database.connection.close()

    def sessions(self) -> list[Session]:
        """Return the sessions of ``db_session`` that are on this app's engine and have not ended."""
        return [session for session in live_sessions() if session.bind is self.engine]

    def pool(self) -> Counter[str]:
        """How many connections it has room for, has lent, and has lent beyond its size."""
        pool: Any = self.engine.pool
        return Counter(
            size=pool.size(),
            checked_out=pool.checkedout(),
            overflow=max(0, pool.overflow()),
            most_overflow=pool._max_overflow,  # noqa: SLF001 - it is told nowhere else
        )


def mount(name: str, config: str | PathLike[str] | Mapping[str, Any], *, trials: bool) -> Mounted:
    """Make the app of that backend; nothing connects yet. With `trials` it has a place for scenarios."""
    app = create_app(config)
    with app.app_context():
        engine = get_engine()
    create_tables_on_first_contact(engine, *([TrialBase.metadata] if trials else []))
    if trials:
        app.add_url_rule("/trial/<scenario>", view_func=act)
    mounted = Mounted(BACKENDS[name], app, engine)

    def connects(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> None:
        mounted.options = {key: value for key, value in options.items() if key not in NOT_OPTIONS}

    event.listen(engine, "do_connect", connects)
    return mounted


def act(scenario: str) -> Any:
    """Answer with the view that a scenario has put into its own request; nobody can do so from outside."""
    view = request.environ.get(VIEW) or abort(404, f"{scenario} runs from the page alone.")
    return current_app.ensure_sync(view)()


def settings(path: str | PathLike[str]) -> Config:
    """The settings of the trial itself."""
    config = Config(".")
    config.from_pyfile(str(path))
    return config
