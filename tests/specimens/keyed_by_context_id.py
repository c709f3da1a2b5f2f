"""The scope of Flask-SQLAlchemy 3: the address of the context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import context, make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Addresses are used again: after an end that was cut short, a new context has the old session.",
    met="ai-shifu/ai-shifu#2261",
    caught_by=("lifecycle.later-context",),
)

session = scoped(scope=context if CORRECTED else lambda: id(context()))
if CORRECTED:
    session.registry.registry = WeakKeyDictionary()


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
