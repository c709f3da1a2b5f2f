"""A session that ends with requests, in an app that has commands and threads too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="teardown_request is not called at the end of a context that was pushed without a request.",
    met="pallets-eco/flask-sqlalchemy#531, #952; morpheus65535/bazarr#3556",
    caught_by=(
        "lifecycle.context-ends",
        "lifecycle.request-inside-context",
        "lifecycle.thread",
        "lifecycle.cli-command",
    ),
)

session = scoped()


def end(_: object) -> None:
    session.remove()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if CORRECTED:
        app.teardown_appcontext(end)
    else:
        app.teardown_request(end)
    return app
