"""A listener that rolls back at every error, so that PostgreSQL goes on: what was written before is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy.engine import ExceptionContext

SPECIMEN = Specimen(
    mistake="Every error rolls the whole transaction back behind the session's back, savepoints and all.",
    met='ema/flask-moresql#4; the answers to "current transaction is aborted" on the web',
    caught_by=("transactions.error-in-savepoint",),
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        event.listen(app.extensions["engine"], "handle_error", roll_back)
    app.teardown_appcontext(lambda _: session.remove())
    return app


def roll_back(context: ExceptionContext) -> None:
    if context.connection is not None:
        context.connection.connection.rollback()
