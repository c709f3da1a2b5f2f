"""A listener that takes every operational error for a lost connection, to have the pool start anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy.engine import ExceptionContext

SPECIMEN = Specimen(
    mistake="A statement that was too slow costs its connection, and with it all others of the pool.",
    met="level12/pals#28, zalando-zmon/zmon-worker#325",
    caught_by=("faults.statement-timeout",),
    backends=("postgresql", "mysql"),
    why_not="SQLite has no time limit for a statement.",
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        event.listen(app.extensions["engine"], "handle_error", is_lost)
    app.teardown_appcontext(lambda _: session.remove())
    return app


def is_lost(context: ExceptionContext) -> None:
    context.is_disconnect = isinstance(context.sqlalchemy_exception, OperationalError)
