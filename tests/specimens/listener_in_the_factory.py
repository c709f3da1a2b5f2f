"""An audit listener registered where the app is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Each app adds it once more, for all: what happens once is recorded several times.",
    met="the snippet's comment by sebastianmarkow (2012)",
    caught_by=("binding.listeners",),
)

session = scoped()


def audit(*_: object) -> None:
    """Record what is written."""


if CORRECTED:
    event.listen(Session, "after_flush", audit)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        event.listen(Session, "after_flush", audit)
    app.teardown_appcontext(lambda _: session.remove())
    return app
