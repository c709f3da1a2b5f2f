"""Each thread makes its engine on first use, of what the configuration says at that time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from sqlalchemy.orm import Session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="After a change of the configuration the threads of one app are on two databases.",
    met="pallets-eco/flask-sqlalchemy#1172",
    caught_by=("binding.config-changed-later",),
)


class Engines(threading.local):
    def __init__(self) -> None:
        self.of_app: dict[Flask, Engine] = {}


engines = Engines()


def new_session() -> Session:
    app = current_app._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - a proxy's documented method
    if app not in engines.of_app:
        engines.of_app[app] = make_engine(app.config["DATABASE_URI"])
    return Session(app.extensions["engine"] if CORRECTED else engines.of_app[app])


session = scoped(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
