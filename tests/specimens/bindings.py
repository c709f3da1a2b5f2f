"""Describe and build a specimen.

The functions here return a `Build`. Only a process that tries the specimen calls it, when the process imports
`tests.specimens.subject`: importing the tables has no effect.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from flask import Flask
from sqlalchemy import Engine, MetaData, make_url
from sqlalchemy.orm import Session

import app as ledger_app
from app import database
from tests.specimens.plain import context, make_app, new_session, scoped

ALL = ("sqlite", "postgresql", "mysql")
SERVERS = ("postgresql", "mysql")


@dataclass(frozen=True, slots=True)
class Binding:
    """The names that the battery uses."""

    session: Any
    create_app: Callable[[Mapping[str, Any]], Flask]
    init_engine: Callable[..., Engine] | None = None
    """Gives an app a new engine; None if the binding does not promise that."""
    metadata: MetaData | None = None
    """The app's own tables."""


Build = Callable[[], Binding]


def remove(session: Any, _error: BaseException | None) -> None:
    session.remove()


def binding(  # noqa: PLR0913 - one for each part of a binding
    *,
    engine: Callable[[str], Engine] | None = None,
    new_session: Callable[[], Session] = new_session,
    scope: Callable[[], object] | None = context,
    registry: Callable[..., Any] = scoped,
    end: Callable[[Any, BaseException | None], object] = remove,
    hook: Callable[[Flask, Callable[[BaseException | None], object]], object] = Flask.teardown_appcontext,
    prepare: Callable[[Flask, Any], object] | None = None,
    init_engine: Callable[..., Engine] | None = None,
    metadata: Callable[[], MetaData] | None = None,
) -> Build:
    """Build the plain binding with some of its parts replaced.

    Args:
        engine: Makes the engine of an app from its URI; None means the engine that `make_app` makes.
        new_session: Makes a session.
        scope: Returns the scope of a session; None means the thread.
        registry: Makes the object that views import as the session, from `new_session` and `scope`.
        end: Ends the session, given the session and the error of the context or None.
        hook: Registers `end` with an app.
        prepare: Changes a new app, given the app and the session, before `end` is registered.
        init_engine: Gives an app a new engine.
        metadata: Declares the app's own tables.
    """

    def build() -> Binding:
        session = registry(new_session, scope)

        def create_app(config: Mapping[str, Any]) -> Flask:
            app = make_app(config)
            if engine:
                app.extensions["engine"] = engine(config["DATABASE_URI"])
            if prepare:
                prepare(app, session)
            hook(app, lambda error: end(session, error))
            return app

        return Binding(session, create_app, init_engine, metadata() if metadata else None)

    return build


def ledger(options: Mapping[str, Any] = MappingProxyType({}), **of_backend: Mapping[str, Any]) -> Build:
    """Build the app of this repository with these engine options.

    Args:
        options: The options, or the options for each backend.
    """

    def create_app(config: Mapping[str, Any]) -> Flask:
        all_options = {**options, **options_of(config["DATABASE_URI"], of_backend)}
        return ledger_app.create_app({**config, "DATABASE_ENGINE_OPTIONS": all_options})

    return lambda: Binding(database.db_session, create_app)


def options_of(uri: str, of_backend: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the options for the backend of `uri`."""
    return of_backend.get(make_url(uri).get_backend_name(), {})


def published(name: str) -> Build:
    """Build the published pattern that a module of this package quotes."""

    def build() -> Binding:
        module = importlib.import_module(f"tests.specimens.{name}")
        return Binding(module.session, module.create_app, module.init_engine)

    return build


def today() -> Binding:
    """Return the binding of this repository in a bare app.

    It is the correction of the published patterns.
    """

    def create_app(config: Mapping[str, Any]) -> Flask:
        app = Flask(__name__)
        app.config.from_mapping(config)
        database.init_engine(app.config["DATABASE_URI"], app=app)
        return app

    return Binding(database.db_session, create_app, database.init_engine)


PLAIN = binding()


@dataclass(frozen=True, slots=True)
class Specimen:
    """A mistake that a binding can make."""

    mistake: str
    """The mistake and its consequence, in one sentence."""
    met: str
    """Reports of the mistake."""
    caught_by: tuple[str, ...]
    """The ids of the checks that must catch the mistake."""
    wrong: Build
    corrected: Build = PLAIN
    """The same binding without the mistake, on which the checks of `caught_by` pass."""
    not_on: Mapping[str, str] = field(default_factory=dict)
    """The backends on which the specimen is correct, with the reason."""
    uri_env: str = ""
    """The environment variable from which the binding reads the URI when it is imported."""
    takes_long: bool = False
    """Whether to run the specimen first, because its checks wait for time limits."""

    @property
    def backends(self) -> tuple[str, ...]:
        """Return the backends on which the specimen is a mistake."""
        return tuple(backend for backend in ALL if backend not in self.not_on)


@dataclass(frozen=True, slots=True)
class Sound:
    """A binding without a mistake: no check may fail on it."""

    why: str
    """One sentence that describes the unusual part of the binding and gives the reason why it is right."""
    build: Build
