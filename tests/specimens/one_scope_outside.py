"""A scope by context, and None where there is no context."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from flask import Flask, has_app_context
from sqlalchemy.orm import scoped_session, sessionmaker

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context

if TYPE_CHECKING:
    from collections.abc import Mapping

SPECIMEN = Specimen(
    mistake="Outside contexts all threads share one session.",
    met="vantage6/vantage6#2656",
    caught_by=("promises.thread-local",),
)


def scope() -> object:
    if has_app_context():
        return context()
    return get_ident() if CORRECTED else None


maker = sessionmaker()
session = scoped_session(maker, scopefunc=scope)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask("specimen")
    maker.configure(bind=make_engine(config["DATABASE_URI"]))
    app.teardown_appcontext(lambda _: session.remove())
    return app
