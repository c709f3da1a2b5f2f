"""A session kept in g, closed by a callback that expects to find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, g
from werkzeug.local import LocalProxy

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.orm import Session

SPECIMEN = Specimen(
    mistake="Flask's test client tears a context down twice: the second time there is no session.",
    met="pallets/flask#2949",
    caught_by=("lifecycle.with-client",),
)


def current() -> Session:
    if "session" not in g:
        g.session = new_session()
    return cast("Session", g.session)


session = LocalProxy(current)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)

    @app.teardown_appcontext
    def end(_: object) -> None:
        if "session" in g or not CORRECTED:
            g.pop("session").close()

    return app
