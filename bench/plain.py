"""In the place of `app.database`: the same names, and `with Session(engine)` around each view.

`bench.served` puts it there before the app is imported, so that the very same ledger runs on it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import DeclarativeBase, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy import URL, Engine

_engine: Engine | None = None
_session: ContextVar[Session] = ContextVar("session")


class Base(DeclarativeBase):
    """What the models derive from."""


class _Session:
    """The session of the view that asks."""

    def __call__(self) -> Session:
        return _session.get()

    def __getattr__(self, name: str) -> Any:
        return getattr(_session.get(), name)


db_session = _Session()


def init_engine(
    uri: str | URL, *, app: Flask, session_options: Mapping[str, Any] | None = None, **options: Any
) -> Engine:
    """The process's one engine, and a session of it for each of the app's views."""
    global _engine  # noqa: PLW0603 - as one writes it who has one app
    from app.engines import make_engine  # noqa: PLC0415 - the app imports this module first

    engine = _engine = make_engine(uri, directory=app.instance_path, **options)
    dispatch = app.dispatch_request

    def dispatch_with_session() -> Any:
        with Session(engine, **(session_options or {})) as session:
            token = _session.set(session)
            try:
                return dispatch()
            finally:
                _session.reset(token)

    app.dispatch_request = dispatch_with_session  # type: ignore[method-assign] # around every view
    return engine


def get_engine() -> Engine | None:
    """The engine."""
    return _engine


def create_all() -> None:
    """Create the tables of `Base`."""
    if _engine is not None:
        Base.metadata.create_all(_engine)
