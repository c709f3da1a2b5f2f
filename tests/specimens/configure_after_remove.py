"""The pattern as Donald Curtis rewrote it in 2013: a real sessionmaker, configured anew after a remove()."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import sqlalchemy.orm
from flask import Flask

from tests.specimens import CORRECTED, Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

SPECIMEN = Specimen(
    mistake="remove() ends the caller's session though it is in use; other threads keep the old engine.",
    met="a comment on the snippet; Pylons/webtest#5",
    caught_by=("binding.second-app", "promises.rebinding"),
)

engine: Any = None
sessionmaker = sa.orm.sessionmaker()
session = sa.orm.scoped_session(sessionmaker)


def configure_engine(url: str) -> None:
    global sessionmaker, engine, session  # noqa: PLW0602, PLW0603 - as published
    engine = sa.create_engine(url)
    session.remove()
    sessionmaker.configure(bind=engine)


def init_engine(uri: str, *, app: Flask) -> Any:
    del app  # It knew none.
    configure_engine(uri)
    return engine


if CORRECTED:
    from app.database import db_session as session  # type: ignore[assignment]
    from app.database import init_engine


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask(__name__)
    init_engine(config["DATABASE_URI"], app=app)
    return app
