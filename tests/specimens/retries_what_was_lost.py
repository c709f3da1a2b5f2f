"""A session that reconnects and sends the statement again, as the snippets against "gone away" do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import engine, make_app

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="A connection is replaced in the middle of a transaction: its second half is committed alone.",
    met="sqlalchemy/sqlalchemy#5657, #6283",
    caught_by=("faults.lost-in-transaction",),
    backends=("postgresql", "mysql"),
    why_not="SQLite has no connection to lose.",
)


class ReconnectingSession(Session):
    def execute(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute(*args, **options)
        except DBAPIError as error:
            if CORRECTED or not error.connection_invalidated:
                raise
            self.rollback()
            return super().execute(*args, **options)


session = scoped_session(lambda: ReconnectingSession(engine()))


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
