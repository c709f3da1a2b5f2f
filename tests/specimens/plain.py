"""A plain binding, right as far as it goes: what a specimen does not break, it takes from here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from flask import Flask, current_app
from flask.globals import app_ctx
from sqlalchemy.orm import Session, scoped_session

from app.engines import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Engine


def make_app(config: Mapping[str, Any], kind: type[Flask] = Flask) -> Flask:
    """An app with an engine of its own."""
    app = kind(__name__)
    app.config.from_mapping(config)
    app.extensions["engine"] = make_engine(app.config["DATABASE_URI"], directory=app.instance_path)
    return app


def engine() -> Engine:
    return cast("Engine", current_app.extensions["engine"])


def new_session(**options: Any) -> Session:
    return Session(engine(), **options)


def context() -> object:
    """A scope: the context object itself."""
    return app_ctx._get_current_object()  # type: ignore[attr-defined] # noqa: SLF001 - a proxy's documented method


def scoped(
    factory: Callable[..., Session] = new_session, scope: Callable[[], object] | None = context
) -> scoped_session[Session]:
    """A `scoped_session`, by thread where `scope` is None; it takes any callable, whatever its types say."""
    return scoped_session(factory, scopefunc=scope)  # type: ignore[arg-type]
