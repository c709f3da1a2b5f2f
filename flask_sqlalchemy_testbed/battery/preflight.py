"""Try the app on one backend before the first check there, with requests to views of the battery."""

from __future__ import annotations

import contextlib
from contextvars import Context
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from flask import request, request_started
from sqlalchemy import NullPool, create_engine, inspect
from sqlalchemy.orm import object_session

from flask_sqlalchemy_testbed.battery import tables
from flask_sqlalchemy_testbed.battery.further import Binds
from flask_sqlalchemy_testbed.battery.obstacles import Witness
from flask_sqlalchemy_testbed.battery.own_tables import create_possible
from flask_sqlalchemy_testbed.battery.pools import limit_wait
from flask_sqlalchemy_testbed.battery.requests import (
    ERROR,
    Address,
    Answer,
    add_view,
    addresses,
    ask,
    endpoint_of,
    reach_at,
)
from flask_sqlalchemy_testbed.battery.tables import Item
from flask_sqlalchemy_testbed.battery.threads import WITHIN, Task
from flask_sqlalchemy_testbed.battery.users import log_in
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import settings, state
from flask_sqlalchemy_testbed.plugin.app_option import app_maker, places_of
from flask_sqlalchemy_testbed.subject import app_threads
from flask_sqlalchemy_testbed.subject.binding import context_of, engine_of
from flask_sqlalchemy_testbed.subject.engines import of_earlier_app
from flask_sqlalchemy_testbed.subject.errors import BoundElsewhereError, ObstacleError, SubjectError
from flask_sqlalchemy_testbed.subject.metadata import FIRST_ENGINE
from flask_sqlalchemy_testbed.subject.raised import in_words, line_of_app
from flask_sqlalchemy_testbed.subject.subject import Apps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pytest
    from flask import Flask
    from sqlalchemy import Engine, MetaData

    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.subject.app import AppMaker

T = TypeVar("T")
VIEW, WRITER = "/testbed/preflight", "/testbed/preflight/write"
REQUEST, CONTEXT = "of the request", "of the context"
REDIRECTIONS, REFUSALS = range(300, 400), (401, 403)


class CannotConnectError(SubjectError):
    """Code of the app raises an error whenever the app connects; the message names the line."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """The findings about the app on one backend."""

    schema: Callable[[str], None]
    """Creates the battery's tables in the database of a URI, and those of the app."""
    address: Address | None = None
    """The address at which the app's views are reached; None if no app was made to find it out."""
    commits_requests: bool = False
    """The app commits the session of a request that succeeds."""
    commits_contexts: bool = False
    """The app commits the session of a context without a request that succeeds."""


def try_app(fixture: pytest.FixtureRequest) -> Preflight:
    """Make apps on two databases one after the other, as two checks do, and send requests to the first.

    Args:
        fixture: The request of a fixture that lives as long as the backend's server.

    Raises:
        ObstacleError: No check could use the app on this backend.
    """
    server = fixture.getfixturevalue("testbed_server")
    run, maker = state.run_of(fixture.config), app_maker(fixture.config)
    binds = Binds(fixture, maker.subject)
    first, second = run.isolation(server), run.isolation(server, "other")
    databases = [first.database, second.database, *binds.databases.values()]
    for isolation in (first, second):
        isolation.clean(tables.create_all)
    run.probe.start(first.database)
    for database in databases:
        run.probe.track(database)
    try:
        found = _first_app(fixture.config, maker, binds, first.database)
        _second_app(maker, binds, second.database)
    except CannotConnectError as error:
        message = f"The app cannot connect to {server.backend.name}: {error}"
        raise ObstacleError(message) from error
    except SubjectError as error:
        reason = f"{error}".removesuffix(".")
        remedy = _remedy_of_start(fixture.config, reason)
        message = f"The app cannot be tried on {server.backend.name}: {reason}.{remedy}"
        raise ObstacleError(message) from error
    finally:
        app_threads.end()
        for database in databases:
            run.probe.repair(database)
    return found


def _first_app(config: pytest.Config, maker: AppMaker, binds: Binds, database: Database) -> Preflight:
    if _uses_up_the_process(maker):
        return Preflight(tables.create_all)
    maker.start(database.uri, binds.uris)
    try:
        app = maker.make(database.uri)
    except BoundElsewhereError:
        if maker.subject.makes_several_apps:
            return Preflight(tables.create_all)  # `binding.uses-the-given-uri` and others fail for it.
        raise
    binds.create_tables(app, maker)
    schema = _schema(maker.metadata(app).get(FIRST_ENGINE, []), database)
    # As in the checks: their views may fail.
    app.testing = app.debug = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    at_once: set[str] = set()
    written: list[Item] = []

    def write(name: str) -> str:
        written.append(Item(name=name))
        maker.subject.session.add(written[-1])
        maker.subject.session.flush()
        # A session in AUTOCOMMIT mode commits the row at once, before the app could.
        at_once.update({name} & set(_names(database)))
        return "written"

    def write_in_context() -> None:
        with contextlib.suppress(Exception), app.app_context():
            write(CONTEXT)

    add_view(app, WRITER, lambda: write(REQUEST))
    within = settings.seconds(config, "check-timeout")
    try:
        engine = _in_a_thread(lambda: engine_of(maker.subject, app), within)
        limit_wait(engine)
        _in_a_thread(lambda: _connect(maker, app), within)
        address = reach(app, engine, settings.setting(config, "as-user"), within)
        succeeds = _in_a_thread(lambda: _succeeds(app, WRITER), within)
        # A session that the app leaves open would make the next write wait for SQLite's lock.
        _in_a_thread(lambda: _roll_back(written), within)
        _in_a_thread(write_in_context, within)
    finally:
        engine_of(maker.subject, app).dispose()
        binds.dispose(app)
    committed = set(_names(database)) - at_once
    address = replace(address, headers={})  # Of a user who is in this database only.
    return Preflight(schema, address, succeeds and REQUEST in committed, CONTEXT in committed)


def _roll_back(items: Iterable[Item]) -> None:
    for session in filter(None, map(object_session, items)):
        with contextlib.suppress(Exception):  # The app may forbid the use of a session that has ended.
            session.rollback()


def _connect(maker: AppMaker, app: Flask) -> None:
    """Connect once; raise `CannotConnectError` if code of the app, such as a listener, keeps it from that."""
    try:
        with context_of(app), engine_of(maker.subject, app).connect():
            pass
    except SubjectError:
        raise
    except Exception as error:
        # The checks show the other errors, such as one of a driver.
        if line := line_of_app(error):
            message = f"{in_words(getattr(error, 'orig', None) or error)}, {line}"
            raise CannotConnectError(message) from error


def _schema(metadata: Sequence[MetaData], database: Database) -> Callable[[str], None]:
    """Create the app's own tables, unless it has done so; return the function that creates all tables."""
    engine = create_engine(database.uri, poolclass=NullPool)
    present = set(inspect(engine).get_table_names())
    engine.dispose()
    if not metadata or any(one.tables.keys() & present for one in metadata):
        return tables.create_all
    create_possible(metadata, database.uri)

    def create_all(uri: str) -> None:
        tables.create_all(uri)
        create_possible(metadata, uri)

    return create_all


def _uses_up_the_process(maker: AppMaker) -> bool:
    """Return whether an app made here would be the only one of this process."""
    return maker.subject.apps is Apps.ONE_PER_PROCESS


def _second_app(maker: AppMaker, binds: Binds, database: Database) -> None:
    if _uses_up_the_process(maker):
        return
    maker.start(database.uri, binds.uris)
    try:
        app = maker.make(database.uri)
    except BoundElsewhereError:
        if maker.subject.makes_several_apps:
            return  # As above.
        raise
    engine_of(maker.subject, app).dispose()
    binds.dispose(app)


def _names(database: Database) -> list[str]:
    return [name for (name,) in database.connection.rows("SELECT name FROM testbed_item")]


def reach(app: Flask, engine: Engine, as_user: str, within: float = WITHIN) -> Address:
    """Find the first address at which a view of the battery is reached, and send later requests there.

    Args:
        app: An app on a database of the run; views can be added to it afterwards.
        engine: The engine of its session.
        as_user: The function that logs a client in; empty if requests need no login. It is run once.
        within: Seconds for the requests.

    Raises:
        SubjectError: No view is reached.
    """
    add_view(app, VIEW, lambda: "reached")
    address = _in_a_thread(lambda: _reach(app, engine, as_user), within)
    # Flask refuses views after the first request, and there is no other way back.
    app._got_first_request = False  # noqa: SLF001
    return address


def _in_a_thread(work: Callable[[], T], within: float) -> T:
    """Run a function without the caller's contexts and sessions.

    A request that hangs keeps no run from ending.
    """
    task = Task(lambda: Context().run(work))
    if not task.ended.wait(within):
        message = f"a request to it was not answered within {within:g} s"
        raise SubjectError(message)
    return task.result()


def _reach(app: Flask, engine: Engine, as_user: str) -> Address:
    tried, refused = list(addresses(app)), list[str]()
    if as_user:
        start = next((address for address in tried if _is_found(app, address)), tried[0])
        headers = log_in(as_user, app, start, refused).headers
        tried = [replace(address, headers=headers) for address in tried if address.base_url == start.base_url]
    for address in tried:
        reach_at(app, address)
        if _succeeds(app, VIEW):
            return address
    if refused:
        message = f"{refused[0]}. Have this request of {as_user} log in a user who may open each page."
        raise SubjectError(message)
    reach_at(app, tried[0])
    answer, cause = Witness(app).answer(VIEW)
    to = f" to {answer.location}" if answer.location else ""
    remedy = _remedy(answer, engine, as_user)
    message = f"its first request was answered with {answer.status}{to}: {cause}. {remedy}"
    raise SubjectError(message)


def _is_found(app: Flask, address: Address) -> bool:
    """Return whether a request to an address is one to the view, whether or not the app lets it pass."""
    found: list[str | None] = []

    def note(_: Flask, **__: object) -> None:
        found.append(request.endpoint)

    reach_at(app, address)
    with request_started.connected_to(note, app):
        _succeeds(app, VIEW)
    return found == [endpoint_of(VIEW)]


def _remedy_of_start(config: pytest.Config, reason: str) -> str:
    places = places_of(config)
    if used := "Error" in reason and places.get("used_outside"):
        return (
            f" The app uses its session outside app contexts in {used}. If that session stays open, it is on"
            f" the database of the app that was made before: add {places['session_end']} after these lines."
        )
    return ""


def _succeeds(app: Flask, path: str) -> bool:
    """Return whether a view is reached; an error after it, as in a teardown, is left to the checks."""
    answer = Answer()
    try:
        return ask(app, path, answer).is_success
    except Exception:  # noqa: BLE001 - any error of the app
        return answer.has_returned


def _remedy(answer: Answer, engine: Engine, as_user: str) -> str:
    if answer.code >= ERROR and (place := of_earlier_app(engine)):
        return (
            f"The engine made in {place} is on the database of an app that was made before: make it in the"
            " factory, for each app, or use the engine of the current app."
        )
    if answer.code in {*REDIRECTIONS, *REFUSALS}:
        option = f"{flag('as-user')} module:function"
        if as_user:
            return f"Have {as_user} log in a user who may open each page."
        return (
            f"If it wants a login, name a function that logs a client in: {option} (called with the app and a"
            " test client)."
        )
    return (
        "Let this function accept each request whose endpoint begins with `testbed`, also on an empty"
        " database, or leave the function out when you test. If it needs rows, name a function that inserts"
        f" them: {flag('as-user')} module:function."
    )
