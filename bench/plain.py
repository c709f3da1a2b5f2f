"""Replace `app.database` by the same names with `with Session(engine)` around each view.

`bench.served` installs this module before it imports the app, so that the same ledger runs on it.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import URL, Engine
from sqlalchemy.orm import DeclarativeBase, Session

# The package that this module replaces: its `engines` is still imported from there.
__path__ = [str(Path(__file__).parents[1] / "app" / "database")]

_engine: Engine | None = None
_session: ContextVar[Session] = ContextVar("session")


class Base(DeclarativeBase):
    """The base class of the models."""


class _Session:
    """The session of the current view."""

    def __call__(self) -> Session:
        return _session.get()

    def __getattr__(self, name: str) -> Any:
        return getattr(_session.get(), name)


db_session = _Session()


def init_engine(
    uri: str | URL, *, app: Flask, session_options: Mapping[str, Any] | None = None, **options: Any
) -> Engine:
    """Create the only engine of the process, and open a session on it around each view of `app`."""
    global _engine  # noqa: PLW0603 - a process with one app is written this way
    from app.database.engines import make_engine  # noqa: PLC0415 - this module is app.database by now

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
    """Return the engine."""
    return _engine


def create_all() -> None:
    """Create the tables of `Base`."""
    if _engine is not None:
        Base.metadata.create_all(_engine)
