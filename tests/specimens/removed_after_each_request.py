"""The session is removed after each request, though the context that it was opened in goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context, make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="A request through the test client removes the session of the fixture that is around it.",
    met="jeancochrane/pytest-flask-sqlalchemy#18",
    caught_by=("isolation.objects-of-fixtures",),
)

session = scoped_session(new_session, scopefunc=context)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.teardown_request(lambda _: session.remove())
    app.teardown_appcontext(lambda _: session.remove())
    return app
