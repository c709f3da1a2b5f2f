"""Commit-on-teardown, as Flask-SQLAlchemy once offered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="What a request wrote is committed when its context ends, after an error that was handled too.",
    met="pallets-eco/flask-sqlalchemy#216, #131",
    caught_by=("lifecycle.handled-error",),
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)

    @app.teardown_appcontext
    def end(error: BaseException | None) -> None:
        if error is None and not CORRECTED:
            session.commit()
        session.remove()

    return app
