"""A commit after each request, and nothing for the request that cannot be committed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="After a flush that failed nobody rolls back: every later request on the thread fails.",
    met="jfinkels/flask-restless#449",
    caught_by=("lifecycle.failed-flush",),
)

session = scoped(scope=None)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove() if CORRECTED else session.commit())
    return app
