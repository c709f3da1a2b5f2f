"""remove() in a teardown callback like any other, as in Flask's own documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Up to Flask 3.1 a callback that raises stops those registered before it, remove() among them.",
    met="pallets/flask#1767",
    caught_by=("lifecycle.failing-teardown",),
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    teardown = app.do_teardown_appcontext

    def end(*arguments: Any) -> None:
        try:
            teardown(*arguments)
        finally:
            session.remove()

    if CORRECTED:
        app.do_teardown_appcontext = end  # type: ignore[assignment, method-assign] # it has no hook around it
    else:
        app.teardown_appcontext(lambda _: session.remove())
    return app
