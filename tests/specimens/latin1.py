"""The connection speaks Latin-1, from the days when that was MySQL's default and nobody wrote emoji."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import scoped_session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The connection is not in UTF-8: most of Unicode is refused, or comes out as something else.",
    met="movim/movim#1042, HubSpot/Blazar-Archive#351",
    caught_by=("portability.characters",),
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {"client_encoding": "latin1"},
    "mysql": {"charset": "latin1"},
}

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        engine = app.extensions["engine"]
        engine = make_engine(engine.url, connect_args=ARGUMENTS[engine.dialect.name])
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", decode)
        app.extensions["engine"] = engine
    app.teardown_appcontext(lambda _: session.remove())
    return app


def decode(connection: sqlite3.Connection, _record: object) -> None:
    connection.text_factory = lambda text: text.decode("latin1")
