"""A rollback at the end of a request, which gives the connection back and looks like enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Objects stay attached: read after the request, they open a transaction that nobody ends.",
    met="getredash/redash#1792",
    caught_by=("lifecycle.detached",),
)

session = scoped(scope=None)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove() if CORRECTED else session.rollback())
    return app
