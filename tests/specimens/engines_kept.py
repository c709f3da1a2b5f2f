"""The engines of all apps in a dictionary of the module, which only grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flask import Flask, current_app
from sqlalchemy.orm import Session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import scoped

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from sqlalchemy import Engine

SPECIMEN = Specimen(
    mistake="No engine is ever disposed of: each factory call leaves its connections on the server.",
    met="apache/airflow#65941, privacyidea/privacyidea#5956",
    caught_by=("binding.dropped-apps", "binding.twenty-places"),
    backends=("postgresql", "mysql"),
    why_not="A file has no places that could run out.",
)

engines: MutableMapping[Flask, Engine] = WeakKeyDictionary() if CORRECTED else {}


def new_session() -> Session:
    return Session(engines[current_app._get_current_object()])  # type: ignore[attr-defined] # noqa: SLF001


session = scoped(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = Flask("specimen")
    engines[app] = make_engine(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
