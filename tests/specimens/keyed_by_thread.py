"""scoped_session as its documentation shows it, with one engine for the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy.orm import scoped_session, sessionmaker

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context

if TYPE_CHECKING:
    from collections.abc import Mapping

SPECIMEN = Specimen(
    mistake="The session is the thread's: an async view has another one, a streamed body gets a new one.",
    met="vantage6/vantage6#2656, openculinary/backend#65",
    caught_by=(
        "lifecycle.async-view",
        "lifecycle.unwrapped-stream",
    ),
)

maker = sessionmaker()
session = scoped_session(maker, scopefunc=context if CORRECTED else None)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask("specimen")
    maker.configure(bind=make_engine(config["DATABASE_URI"]))
    app.teardown_appcontext(lambda _: session.remove())
    return app
