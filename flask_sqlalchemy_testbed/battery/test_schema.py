"""Check that the app's own tables and its migrations work on the database."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy.engine import Engine

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.battery.migrated import migrate, place_of
from flask_sqlalchemy_testbed.battery.own_tables import (
    OwnTablesError,
    create_and_drop,
    impossible_elsewhere,
    lacking,
)
from flask_sqlalchemy_testbed.battery.preflight import Preflight
from flask_sqlalchemy_testbed.checks.check import check
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.app_option import app_maker
from flask_sqlalchemy_testbed.servers.network import Server
from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import context_of, engine_of
from flask_sqlalchemy_testbed.subject.binds import further_engines
from flask_sqlalchemy_testbed.subject.metadata import FIRST_ENGINE

# The share of a check's time limit that its migrations get.
SHARE = 0.8
# Objects of extensions of PostgreSQL, which migrations create and a metadata does not.
OF_AN_EXTENSION = re.compile(r"(type|function|operator class|access method|collation) .*does not exist")

EmptyDatabase = Callable[[str], str]


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, testbed_server: Server) -> Iterator[EmptyDatabase]:
    """Return a function that creates an empty database under a name, and returns its URI.

    They are dropped after the check.
    """
    run = state.run_of(request.config)
    run.install_probe()
    request.node.stash[state.BEGAN] = time.time(), testbed_server
    with contextlib.ExitStack() as databases:

        def create(which: str) -> str:
            name = f"{run.name}_{which}"
            testbed_server.drop(name)
            testbed_server.create(name)
            databases.callback(testbed_server.drop, name)
            url = testbed_server.locate(name)
            guard.allow(url)
            return url.render_as_string(hide_password=False)

        yield create


@pytest.fixture
def maker(request: pytest.FixtureRequest, preflight: Preflight) -> AppMaker:  # noqa: ARG001 - it comes first
    """Return the object that makes the apps."""
    return app_maker(request.config)


@dataclass(frozen=True, slots=True)
class Started:
    """An app whose databases are empty."""

    app: Flask
    engines: Mapping[str, Engine]
    uris: Mapping[str, str]


@contextlib.contextmanager
def started(maker: AppMaker, empty_database: EmptyDatabase) -> Iterator[Started]:
    """Yield an app, with an empty database for each of its engines; then close the engines."""
    binds = {name: empty_database(f"schema{number}") for number, name in enumerate(maker.subject.binds, 1)}
    uri = empty_database("schema")
    maker.start(uri, binds)
    app = maker.make(uri)
    engines = {FIRST_ENGINE: engine_of(maker.subject, app), **further_engines(app)}
    try:
        yield Started(app, engines, {FIRST_ENGINE: uri, **binds})
    finally:
        for engine in engines.values():
            engine.dispose()


@check("schema.own-tables")
def test_own_tables(request: pytest.FixtureRequest, maker: AppMaker, empty_database: EmptyDatabase) -> None:
    with started(maker, empty_database) as on, context_of(on.app):
        found = maker.metadata(on.app)
        if not found:
            reason = f"the app's own tables were not found; {flag('metadata')} names their metadata"
            state.not_applicable(request.node, reason)
        present = {one.family or one.name for one in request.config.stash[state.BACKENDS]}
        absent = sorted(name for name, one in BACKENDS.items() if (one.family or name) not in present)
        every = [metadata for several in found.values() for metadata in several]
        note = " ".join(filter(None, (impossible_elsewhere(metadata, absent) for metadata in every)))
        for name in found.keys() & on.engines.keys():
            for metadata in found[name]:
                try:
                    create_and_drop(metadata, on.engines[name])
                except OwnTablesError as error:
                    if reason := lacking(error, on.engines[name].dialect.name):
                        state.not_applicable(request.node, f"the server lacks what the tables need: {reason}")
                    if OF_AN_EXTENSION.search(str(error)) and place_of(on.app):
                        state.not_applicable(request.node, f"migrations create what the tables need: {error}")
                    pytest.fail(f"{error} {note}".strip(), pytrace=False)
        request.node.stash[state.NOTE] = note


@check("schema.migrations")
def test_migrations(
    request: pytest.FixtureRequest, maker: AppMaker, empty_database: EmptyDatabase, tmp_path: Path
) -> None:
    with started(maker, empty_database) as on:
        place = place_of(on.app)
    if place is None or find_spec("alembic") is None:
        state.not_applicable(request.node, "the app has no migrations of Flask-Migrate or alembic")
    seconds = settings.seconds(request.config, "check-timeout") * SHARE
    outcome = migrate(maker.subject, on.uris, place, tmp_path / "result.json", seconds)
    request.node.add_report_section("call", "migrations", outcome.output)
    if outcome.not_applicable:
        state.not_applicable(request.node, outcome.not_applicable)
    if outcome.note:
        request.node.stash[state.NOTE] = outcome.note
    if outcome.failure:
        pytest.fail(outcome.failure, pytrace=False)
