"""A teardown callback that leaves a failed request's session for somebody to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The session is removed only when the request did not fail.",
    met="pallets-eco/flask-sqlalchemy#339",
    caught_by=("lifecycle.failed-request-ends",),
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)

    @app.teardown_appcontext
    def end(error: BaseException | None) -> None:
        if error is None or CORRECTED:
            session.remove()

    return app
