"""Mistakes in how a session ends."""

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, g
from sqlalchemy.orm import Session
from werkzeug.local import LocalProxy

from tests.specimens.bindings import Specimen, binding
from tests.specimens.plain import new_session, scoped

unexpired = partial(new_session, expire_on_commit=False)


def leave(_session: Any, _error: BaseException | None) -> None:
    """Do not end the session."""


def forget_sessions(_app: Flask, session: Any) -> None:
    """Remove the sessions of an earlier app from the registry."""
    session.registry.clear()


def commit_and_remove(session: Any, error: BaseException | None) -> None:
    if error is None:
        session.commit()
    session.remove()


def in_one_block(app: Flask, session: Any) -> None:
    """Run each request in `session.begin()`."""
    dispatch = app.full_dispatch_request

    def full_dispatch_request(*arguments: Any) -> Any:
        with session.begin():
            return dispatch(*arguments)

    app.full_dispatch_request = full_dispatch_request


def after_all_callbacks(app: Flask, end: Callable[[BaseException | None], object]) -> None:
    """Register a callback that runs even if another callback raises."""
    teardown = app.do_teardown_appcontext

    def do_teardown_appcontext(*arguments: Any) -> None:
        try:
            teardown(*arguments)
        finally:
            end(None)

    app.do_teardown_appcontext = do_teardown_appcontext  # Flask has no hook around all callbacks.


def before_all_callbacks(app: Flask, end: Callable[[BaseException | None], object]) -> None:
    """Register a callback that runs before all others, so that none that raises can skip it."""
    teardown = app.do_teardown_appcontext

    def do_teardown_appcontext(*arguments: Any) -> None:
        end(None)
        teardown(*arguments)

    app.do_teardown_appcontext = do_teardown_appcontext


def remove_unless_exiting(session: Any, error: BaseException | None) -> None:
    if error is None or isinstance(error, Exception):
        session.remove()


def begun() -> Session:
    session = new_session()
    session.begin()
    return session


def noting(*arguments: Any) -> Any:
    """Make a `scoped_session` that notes in g when it makes a session, if that has no options."""
    session = scoped(*arguments)
    make = session.registry.createfunc

    def noted() -> Session:
        g.has_session = True
        return make()

    session.registry.createfunc = noted
    return session


def remove_if_noted(session: Any, _error: BaseException | None) -> None:
    if g.pop("has_session", False):
        session.remove()


def session_in_g() -> Session:
    if "session" not in g:
        g.session = new_session()
    return g.session  # type: ignore[no-any-return]


def kept_in_g(*_: object) -> LocalProxy[Session]:
    return LocalProxy(session_in_g)


SPECIMENS = {
    "no_remove": Specimen(
        "No code ends the session, so its thread keeps it and its transaction.",
        met="pallets-eco/flask-sqlalchemy#339, #531",
        caught_by=("lifecycle.request-ends", "lifecycle.unread-rows"),
        wrong=binding(scope=None, end=leave),
        corrected=binding(scope=None),
    ),
    "remove_in_teardown_request": Specimen(
        "Flask does not call teardown_request for a context that was pushed without a request.",
        met="pallets-eco/flask-sqlalchemy#531, #952; morpheus65535/bazarr#3556",
        caught_by=(
            "lifecycle.context-ends",
            "lifecycle.request-inside-context",
            "lifecycle.thread",
            "lifecycle.cli-command",
        ),
        wrong=binding(hook=Flask.teardown_request),
        corrected=binding(hook=Flask.teardown_appcontext),
    ),
    "remove_on_success": Specimen(
        "A failed request keeps its session, for later inspection.",
        met="pallets-eco/flask-sqlalchemy#339",
        caught_by=("lifecycle.failed-request-ends",),
        wrong=binding(end=lambda session, error: session.remove() if error is None else None),
        corrected=binding(end=lambda session, _: session.remove()),
    ),
    "rollback_only": Specimen(
        "After rollback() objects are still attached: reading one opens a transaction that stays open.",
        met="getredash/redash#1792",
        caught_by=("lifecycle.detached",),
        wrong=binding(scope=None, end=lambda session, _: session.rollback()),
        corrected=binding(scope=None, end=lambda session, _: session.remove()),
    ),
    "no_rollback": Specimen(
        "Each request ends with commit(), which fails after a failed flush: later requests fail too.",
        met="jfinkels/flask-restless#449",
        caught_by=("lifecycle.failed-flush",),
        wrong=binding(scope=None, end=lambda session, _: session.commit()),
        corrected=binding(scope=None),
    ),
    "stale_objects": Specimen(
        "The session is committed, not removed: the thread's next request sees old objects and values.",
        met="conda-incubator/conda-store#105",
        caught_by=("lifecycle.no-stale-object",),
        wrong=binding(new_session=unexpired, scope=None, end=lambda session, _: session.commit()),
        corrected=binding(new_session=unexpired, scope=None),
    ),
    "commit_in_teardown": Specimen(
        "The end of a context commits the writes of its request, even after an error that was handled.",
        met="pallets-eco/flask-sqlalchemy#216, #131",
        caught_by=("lifecycle.handled-error",),
        wrong=binding(end=commit_and_remove),
    ),
    "begin_around_requests": Specimen(
        "Requests run in session.begin(): after a rollback an error handler cannot use the session.",
        met="sqlalchemy/sqlalchemy#6289, psycopg/psycopg2#1779",
        caught_by=("lifecycle.error-handler",),
        wrong=binding(prepare=in_one_block),
    ),
    "skipped_remove": Specimen(
        "remove() is one teardown callback: up to Flask 3.1 an error in a later callback skips it.",
        met="pallets/flask#1767",
        caught_by=("lifecycle.failing-teardown",),
        wrong=binding(hook=Flask.teardown_appcontext),
        corrected=binding(hook=after_all_callbacks),
    ),
    "removed_first": Specimen(
        "The session is removed before the other teardown callbacks, and nothing ends it if they use it.",
        met="no public thread; an answer to pallets/flask#1767",
        caught_by=("lifecycle.used-in-teardown",),
        wrong=binding(hook=before_all_callbacks),
        corrected=binding(hook=after_all_callbacks),
    ),
    "only_exceptions": Specimen(
        "The session ends after success and after an Exception; SystemExit and gevent.Timeout are neither.",
        met="no public thread",
        caught_by=("lifecycle.exit",),
        wrong=binding(end=remove_unless_exiting),
        corrected=binding(),
    ),
    "begun_when_made": Specimen(
        "A session begins its transaction when it is made: a view's own `with session.begin():` is refused.",
        met="pallets-eco/flask-sqlalchemy#973",
        caught_by=("transactions.view-begins",),
        wrong=binding(new_session=begun),
        corrected=binding(),
    ),
    "ends_what_it_made": Specimen(
        "The end looks at a note that is made with each session without options: others are never ended.",
        met="no public thread; an earlier version of this binding",
        caught_by=("lifecycle.session-options",),
        wrong=binding(registry=noting, end=remove_if_noted),
        corrected=binding(registry=noting),
    ),
    "torn_down_once": Specimen(
        "The callback expects a session in g, but Flask's test client tears a context down twice.",
        met="pallets/flask#2949",
        caught_by=("lifecycle.with-client",),
        wrong=binding(registry=kept_in_g, end=lambda *_: g.pop("session").close()),
        corrected=binding(registry=kept_in_g, end=lambda *_: "session" in g and g.pop("session").close()),
    ),
    "removed_after_each_request": Specimen(
        "A request of the test client removes the session of the fixture that pushed the context.",
        met="jeancochrane/pytest-flask-sqlalchemy#18",
        caught_by=("isolation.objects-of-fixtures",),
        wrong=binding(prepare=lambda app, session: app.teardown_request(lambda _: session.remove())),
    ),
    "swallows_and_goes_on": Specimen(
        "No code rolls back after a failed request or a swallowed error: the thread's next request fails.",
        met="pallets-eco/flask-sqlalchemy#1238, jfinkels/flask-restless#370, chroma-core/chroma#1693",
        caught_by=(
            "faults.swallowed-loss",
            "faults.held-too-long",
            "faults.stopped-mid-query",
            "faults.disk-full",
            "faults.file-full",
        ),
        wrong=binding(scope=None, prepare=forget_sessions, end=leave),
        corrected=binding(scope=None),
        takes_long=True,
    ),
    "long_held_session": Specimen(
        "All requests share one session that is never removed: its transaction and objects grow old.",
        met="sqlalchemy/sqlalchemy#5306, #4685; pallets-eco/flask-sqlalchemy#628; savelov/radar-wms#30",
        caught_by=(
            "transactions.fresh-reads",
            "transactions.reader-lets-go",
            "portability.writer-lets-go",
            "isolation.committed-rows-go",
        ),
        wrong=binding(scope=lambda: "the only session", prepare=forget_sessions, end=leave),
        takes_long=True,
    ),
}
