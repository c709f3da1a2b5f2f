"""Mistakes in how engines are made, found and disposed of.

The twin of most is the plain binding, whose engine is `make_engine(uri, directory=app.instance_path)`.
"""

import asyncio
import os
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from threading import Lock, get_ident, local
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from flask import Flask, Response, current_app
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    NullPool,
    StaticPool,
    Table,
    create_engine,
    make_url,
    text,
)
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import greenlet_spawn

from tests.specimens.bindings import SERVERS, Build, Specimen, binding
from tests.specimens.plain import context, engine, make_engine, scoped

metadata = MetaData()
Table("specimen_eager", metadata, Column("id", Integer, primary_key=True))
ASYNCHRONOUS = {"postgresql": "postgresql+asyncpg", "mysql": "mysql+aiomysql"}
made: dict[str, Engine] = {}
of_thread = local()


def this_app() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return] # noqa: SLF001 - documented


def add_command(app: Flask, _session: Any) -> None:
    app.cli.command("create-tables")(lambda: metadata.create_all(engine()))


def ask_at_start(app: Flask, _session: Any) -> Engine:
    """Send a query when the app starts, with an engine made for it, and return that engine."""
    first = app.extensions["first engine"] = make_engine(app.config["DATABASE_URI"])
    with first.connect() as connection:
        connection.execute(text("SELECT 1"))
    return first


def with_second_engine(kept_in: Callable[[Flask], MutableMapping[str, Engine]]) -> Build:
    """Build a binding that sends a query after each request, with an engine beside that of the app."""

    def prepare(app: Flask, _session: Any) -> None:
        engines = kept_in(app)
        engines["second engine"] = make_engine(app.config["DATABASE_URI"], poolclass=NullPool)

        @app.after_request
        def count(response: Response) -> Response:
            with engines["second engine"].connect() as connection:
                connection.execute(text("SELECT 1"))
            return response

    return binding(prepare=prepare)


def made_on_import(*_: object) -> Any:
    """Make the engine while `tests.specimens.subject` is imported, from the environment."""
    only = make_engine(os.environ["DATABASE_URI"])
    return scoped(lambda: Session(only))


def on_own_engine() -> Session:
    """Return a session on the engine that this thread made at its first use.

    The engine follows the configuration of that moment.
    """
    app = this_app()
    engines: dict[Flask, Engine] = vars(of_thread).setdefault("engines", {})
    if app not in engines:
        engines[app] = make_engine(app.config["DATABASE_URI"])
    return Session(engines[app])


def on_engine_of_first_use(*, lock: AbstractContextManager[object]) -> Build:
    """Build a binding that makes the engine of an app when its first session is made."""

    def new_session() -> Session:
        app = this_app()
        with lock:
            if "first engine" not in app.extensions:
                app.extensions["first engine"] = make_engine(app.config["DATABASE_URI"])
        return Session(app.extensions["first engine"])

    return binding(new_session=new_session)


def kept_in(kept: MutableMapping[Flask, Engine]) -> Build:
    """Build a binding that keeps the engines of all apps in this mapping."""

    def keep(app: Flask, _session: Any) -> None:
        kept[app] = app.extensions.pop("engine")

    return binding(new_session=lambda: Session(kept[this_app()]), prepare=keep)


def rebound(*, dispose: bool) -> Build:
    """Build a binding with a function that gives an app a new engine."""
    session = scoped(scope=lambda: context() if current_app else get_ident())

    def init_engine(uri: str, *, app: Flask) -> Engine:
        if dispose:
            app.extensions["engine"].dispose()
            session.remove()
        app.extensions["engine"] = make_engine(uri)
        return app.extensions["engine"]  # type: ignore[no-any-return]

    return binding(registry=lambda *_: session, init_engine=init_engine)


def with_log_in(uri: str, log_in: Callable[[str], str]) -> Engine:
    """Make an engine from the parts of a URI, as configuration files often have them."""
    url = make_url(uri)
    if not url.host:
        return make_engine(uri)
    where = f"{url.host}:{url.port}/{url.database}"
    return make_engine(f"{url.drivername}://{log_in(url.username)}:{log_in(url.password)}@{where}")


def without_cryptography(*_: object) -> None:
    """Make PyMySQL believe that the package cryptography is not installed."""
    import pymysql._auth  # noqa: PLC0415 - only this specimen needs the driver

    pymysql._auth._have_cryptography = False  # type: ignore[attr-defined] # noqa: SLF001


def asynchronous(uri: str, **options: Any) -> Engine:
    """Make the engine of an asynchronous driver, if one is installed for the backend."""
    url = make_url(uri)
    if url.get_backend_name() not in ASYNCHRONOUS:
        return make_engine(uri)
    url = url.set(drivername=ASYNCHRONOUS[url.get_backend_name()])
    return create_async_engine(url, **options).sync_engine


def run_in_loops(app: Flask, _session: Any) -> None:
    """Run each request in an event loop of its own, as Flask runs each asynchronous view."""
    wsgi_app = app.wsgi_app
    app.wsgi_app = lambda *request: asyncio.run(greenlet_spawn(wsgi_app, *request))


def dispose_in_children(app: Flask, _session: Any) -> None:
    os.register_at_fork(after_in_child=partial(app.extensions["engine"].dispose, close=False))


SPECIMENS = {
    "bare_scheme": Specimen(
        "SQLAlchemy refuses postgres://, or takes a bare scheme for a driver that is not installed.",
        met="jupyterhub/jupyterhub#5275, sqlalchemy/sqlalchemy#5799",
        caught_by=("promises.bare-scheme",),
        wrong=binding(engine=create_engine),
        not_on={"sqlite": "Python has one driver for SQLite."},
    ),
    "unquoted_password": Specimen(
        "The URI has an unquoted password: p@ss/w is read as the password p on the host ss.",
        met="sqlalchemy/sqlalchemy#11027, testcontainers/testcontainers-python#547",
        caught_by=("binding.log-in",),
        wrong=binding(engine=lambda uri: with_log_in(uri, str)),
        corrected=binding(engine=lambda uri: with_log_in(uri, partial(quote, safe=""))),
        not_on={"sqlite": "A file has no password."},
    ),
    "url_as_text": Specimen(
        "A second engine is made from str(url), which hides the password: it logs in with ***.",
        met="miguelgrinberg/Flask-Migrate#506",
        caught_by=("binding.second-engine",),
        wrong=binding(engine=lambda uri: make_engine(str(make_url(uri)))),
        corrected=binding(engine=lambda uri: make_engine(make_url(uri))),
        not_on={"sqlite": "A file has no password."},
    ),
    "no_cryptography": Specimen(
        "The package cryptography is missing: PyMySQL needs it for a user's first log-in without TLS.",
        met="PyMySQL/PyMySQL#768",
        caught_by=("binding.log-in",),
        wrong=binding(prepare=without_cryptography),
        not_on=dict.fromkeys(("sqlite", "postgresql"), "They need no RSA for a log-in."),
    ),
    "relative_path": Specimen(
        "A relative path depends on the working directory: started elsewhere, the app uses another file.",
        met="the note on 3.0 in Flask-SQLAlchemy's extension.py",
        caught_by=("binding.relative-path",),
        wrong=binding(engine=make_engine),
        not_on=dict.fromkeys(SERVERS, "Their databases have no path."),
    ),
    "memory_per_thread": Specimen(
        "SQLAlchemy's own pool for an in-memory database gives each thread an empty database.",
        met="flwrlabs/flower#7148, sqlalchemy/sqlalchemy#8642",
        caught_by=("binding.in-memory", "promises.in-memory"),
        wrong=binding(engine=create_engine),
        not_on=dict.fromkeys(SERVERS, "They have no database in the process."),
    ),
    "memory_shared": Specimen(
        "An in-memory database has one connection, so a rollback undoes what other sessions flushed.",
        met="flwrlabs/flower#7148, sqlalchemy/sqlalchemy#8642",
        caught_by=("promises.in-memory",),
        wrong=binding(
            engine=partial(create_engine, poolclass=StaticPool, connect_args={"check_same_thread": False})
        ),
        not_on=dict.fromkeys(SERVERS, "They have no database in the process."),
    ),
    "engine_on_import": Specimen(
        "The engine is made at import, before the factory is told which database to use.",
        met="level12/keg#96",
        caught_by=("binding.two-apps",),
        wrong=binding(registry=made_on_import),
        uri_env="DATABASE_URI",
    ),
    "first_app_wins": Specimen(
        "The engine is made once: a later configuration, such as that of a test, has no effect.",
        met="pallets-eco/flask-sqlalchemy#1172",
        caught_by=("binding.uses-the-given-uri",),
        wrong=binding(engine=lambda uri: made.setdefault("the engine", make_engine(uri))),
        corrected=binding(engine=lambda uri: made.setdefault(uri, make_engine(uri))),
    ),
    "second_engine_shared": Specimen(
        "A module keeps a second engine: requests to an app use the database of the app made last, too.",
        met="no public thread",
        caught_by=("binding.two-apps",),
        wrong=with_second_engine(lambda _: made),
        corrected=with_second_engine(lambda app: app.extensions),
    ),
    "engine_shared_by_apps": Specimen(
        "Engines are kept by URI: a new app gets old connections to a database that was dropped since.",
        met="pallets-eco/flask-sqlalchemy#1171; vulnerability-lookup/vulnerability-lookup#592",
        caught_by=("isolation.worker-holds-on",),
        wrong=binding(engine=cache(partial(make_engine, pool_pre_ping=False))),
    ),
    "engine_per_thread": Specimen(
        "Each thread makes an engine at first use: after a change of config they use two databases.",
        met="pallets-eco/flask-sqlalchemy#1172",
        caught_by=("binding.config-changed-later",),
        wrong=binding(new_session=on_own_engine),
    ),
    "first_use_race": Specimen(
        "The engine is made at first use, without a lock: threads that come at once make several.",
        met="skypilot-org/skypilot#6422, fastapiutils/fastapi-utils#255",
        caught_by=("binding.first-use",),
        wrong=on_engine_of_first_use(lock=nullcontext()),
        corrected=on_engine_of_first_use(lock=Lock()),
    ),
    "engines_kept": Specimen(
        "A module keeps the engines of all apps: the connections of dropped apps stay open.",
        met="apache/airflow#65941, privacyidea/privacyidea#5956",
        caught_by=("binding.dropped-apps", "binding.twenty-places"),
        wrong=kept_in({}),
        corrected=kept_in(WeakKeyDictionary()),
        not_on={"sqlite": "A file does not limit the number of connections."},
    ),
    "rebound_not_disposed": Specimen(
        "An app gets a new engine, and the connections to the old database stay open.",
        met="apache/airflow#65941, pallets-eco/flask-sqlalchemy#1129",
        caught_by=("promises.rebinding-disposes",),
        wrong=rebound(dispose=False),
        corrected=rebound(dispose=True),
        not_on={"sqlite": "No server counts who has a file open."},
    ),
    "late_connections": Specimen(
        "dispose() does not reach connections that are checked out: they stay open in a discarded pool.",
        met="vulnerability-lookup/vulnerability-lookup#588",
        caught_by=("promises.dispose",),
        wrong=binding(engine=create_engine),
        not_on={"sqlite": "No server counts who has a file open."},
    ),
    "engine_for_the_start": Specimen(
        "A second engine, for a query at start-up, is not disposed of: its connection stays open.",
        met="pallets-eco/flask-sqlalchemy#1419, privacyidea/privacyidea#5956",
        caught_by=("isolation.nothing-for-the-collector",),
        wrong=binding(prepare=ask_at_start),
        corrected=binding(prepare=lambda app, session: ask_at_start(app, session).dispose()),
    ),
    "pool_across_loops": Specimen(
        "Asynchronous views share a pool: a second view gets a connection whose event loop has ended.",
        met="pallets-eco/flask-sqlalchemy-lite#25, skypilot-org/skypilot#8725",
        caught_by=("lifecycle.no-stale-object",),
        wrong=binding(engine=asynchronous, prepare=run_in_loops),
        corrected=binding(engine=partial(asynchronous, poolclass=NullPool), prepare=run_in_loops),
        not_on={"sqlite": "No asynchronous driver for it is installed."},
    ),
    "eager_create_all": Specimen(
        "The factory calls create_all(): it fails without a database, and workers create tables at once.",
        met="pallets-eco/flask-sqlalchemy#630, google/timesketch#3263",
        caught_by=("binding.starts-without-its-database",),
        wrong=binding(prepare=lambda app, _: metadata.create_all(app.extensions["engine"])),
        corrected=binding(prepare=add_command),
    ),
    "fork_without_care": Specimen(
        "The pool is filled before workers fork: several processes talk on the same connections.",
        met="nautobot/nautobot#127, votingworks/arlo#1040, PyMySQL/PyMySQL#606",
        caught_by=("binding.fork",),
        wrong=binding(),
        corrected=binding(prepare=dispose_in_children),
    ),
}
