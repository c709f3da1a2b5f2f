"""A session in the context, and nothing against contexts that outlive their requests."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="A stream that is not closed leaves its context on the thread: later requests join it.",
    met="pallets/flask#6123",
    caught_by=("lifecycle.held-stream",),
)

session = scoped()


class Body:
    """A response's body, which pushes and pops in a copy of the thread's context."""

    def __init__(self, wsgi_app: Any, *request: Any) -> None:
        self._context = copy_context()
        self._chunks = self._context.run(wsgi_app, *request)
        self._iterator = self._context.run(iter, self._chunks)

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        return self._context.run(next, self._iterator)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._context.run(getattr(self._chunks, "close", int))


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    if CORRECTED:
        app.wsgi_app = partial(Body, app.wsgi_app)  # type: ignore[method-assign] # Flask's documented way
    return app
