"""One session for the whole process, opened on its first use and never removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context, make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="All requests share one session that nobody removes: its transaction and its objects grow old.",
    met="sqlalchemy/sqlalchemy#5306, #4685; pallets-eco/flask-sqlalchemy#628; savelov/radar-wms#30",
    caught_by=(
        "transactions.fresh-reads",
        "transactions.reader-lets-go",
        "portability.writer-lets-go",
        "isolation.committed-rows-go",
    ),
    takes_long=True,
)

session = scoped_session(new_session, scopefunc=context if CORRECTED else lambda: "the one")


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if CORRECTED:
        app.teardown_appcontext(lambda _: session.remove())
    else:
        session.registry.clear()
    return app
