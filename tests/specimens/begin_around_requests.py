"""Every request in a block of session.begin(), so that views need not commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Response

SPECIMEN = Specimen(
    mistake="After a rollback inside the block the session refuses all work: an error handler cannot use it.",
    met="sqlalchemy/sqlalchemy#6289, psycopg/psycopg2#1779",
    caught_by=("lifecycle.error-handler",),
)

session = scoped()


class Transactional(Flask):
    def full_dispatch_request(self) -> Response:
        with session.begin():
            return super().full_dispatch_request()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config, Flask if CORRECTED else Transactional)
    app.teardown_appcontext(lambda _: session.remove())
    return app
