"""A second engine of the first one's URL, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.engines import make_engine
from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="str() hides the password: the second engine logs in with ***.",
    met="miguelgrinberg/Flask-Migrate#506",
    caught_by=("binding.second-engine",),
    backends=("postgresql", "mysql"),
    why_not="A file has no password.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    url = app.extensions["engine"].url
    # Another pool than the migrations have.
    app.extensions["engine"] = make_engine(url if CORRECTED else str(url))
    app.teardown_appcontext(lambda _: session.remove())
    return app
