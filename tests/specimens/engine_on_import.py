"""An engine made while the module is imported, from the environment: every app of the process is on it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The factory's configuration comes too late to say which database is meant.",
    met="level12/keg#96",
    caught_by=("binding.two-apps",),
    uri_env="DATABASE_URI",
)

engine = make_engine(os.environ["DATABASE_URI"])
session = scoped(lambda: new_session() if CORRECTED else Session(engine))


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
