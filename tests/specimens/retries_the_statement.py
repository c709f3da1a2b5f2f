"""A session that sends a statement again when the database was locked or in a deadlock, as decorators do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import engine, make_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="After a deadlock only the statement is repeated, with no rollback: what came before is lost.",
    met="opennem/opennem#566, keephq/keep#4439",
    caught_by=("transactions.deadlock",),
    backends=("postgresql", "mysql"),
    why_not="SQLite has one writer at a time, and so no deadlock.",
)


class RetryingSession(Session):
    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except OperationalError:
            if CORRECTED:
                raise
            return super().execute(*args, **options)


session = scoped_session(lambda: RetryingSession(engine()))


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
