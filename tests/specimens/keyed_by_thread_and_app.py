"""One session for an app in a thread, which several contexts may share."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context, make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

SPECIMEN = Specimen(
    mistake="The end of an inner context removes the session of the outer one, and what is pending in it.",
    met="pallets-eco/flask-sqlalchemy#508, #944",
    caught_by=("lifecycle.nested-contexts",),
)


def thread_and_app() -> object:
    return get_ident(), current_app.extensions["engine"]


session = scoped(scope=context if CORRECTED else thread_and_app)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
