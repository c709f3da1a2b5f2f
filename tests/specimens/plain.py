"""The parts of a plain binding without a mistake. A specimen replaces one of them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Flask, current_app
from flask.globals import app_ctx
from sqlalchemy import Engine
from sqlalchemy.orm import Session, scoped_session

from app.database.engines import make_engine

__all__ = ["context", "engine", "make_app", "make_engine", "new_session", "scoped"]


def make_app(config: Mapping[str, Any]) -> Flask:
    """Return an app that keeps its own engine in `app.extensions`."""
    app = Flask(__name__)
    app.config.from_mapping(config)
    app.extensions["engine"] = make_engine(app.config["DATABASE_URI"], directory=app.instance_path)
    return app


def engine() -> Engine:
    """Return the engine of the current app."""
    return cast("Engine", current_app.extensions["engine"])


def new_session(**options: Any) -> Session:
    """Return a session on the engine of the current app."""
    return Session(engine(), **options)


def context() -> object:
    """Return the current app context, which is the scope of the sessions."""
    return app_ctx._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - a proxy's documented method


def scoped(
    factory: Callable[..., Session] = new_session, scope: Callable[[], object] | None = context
) -> scoped_session[Session]:
    """Return a `scoped_session` with one session for each scope.

    Args:
        factory: Makes a session. `scoped_session` takes any callable, though its types say `sessionmaker`.
        scope: Returns the current scope; None means the current thread.
    """
    return scoped_session(factory, scopefunc=scope)  # type: ignore[arg-type]
