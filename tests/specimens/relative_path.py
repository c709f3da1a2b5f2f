"""A plain engine on a relative path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The path is one in the working directory: started elsewhere, the app has another database.",
    met="the note on 3.0 in Flask-SQLAlchemy's extension.py",
    caught_by=("binding.relative-path",),
    backends=("sqlite",),
    why_not="A server's database has no path.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = make_engine(config["DATABASE_URI"])
    app.teardown_appcontext(lambda _: session.remove())
    return app
