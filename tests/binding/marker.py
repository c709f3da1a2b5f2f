"""The table of the binding's tests, and questions that they ask an app."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import Engine, String, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app import database


class Base(DeclarativeBase):
    pass


class Marker(Base):
    __tablename__ = "marker"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)


def engine_of(app: Flask) -> Engine:
    with app.app_context():
        return database.get_engine()


def checked_out(app: Flask) -> int:
    return engine_of(app).pool.checkedout()  # type: ignore[attr-defined, no-any-return] # QueuePool's own


def names_in(app: Flask) -> list[str]:
    with engine_of(app).connect() as connection:
        return list(connection.scalars(select(Marker.name)))


def names_after_replacement(
    app: Flask, write: Callable[[Callable[[], None]], None], uri: str, other_uri: str
) -> list[str]:
    """Return the names in the database after a write whose engine is replaced in the middle.

    Args:
        app: An app on the database of `uri`.
        write: Called in a context with a function that replaces the engine; its session must be refused.
        uri: The database.
        other_uri: The database of the new engine.
    """

    def replace() -> None:
        # In another thread, since init_engine removes the caller's own session. A free-threaded Python starts
        # each thread in a copy of the context, in which the caller's session is this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(Context().run, partial(database.init_engine, other_uri, app=app)).result(20)

    with (
        app.app_context(),
        pytest.raises(database.StaleSessionError, match=r"^The engine of this session was replaced"),
    ):
        write(replace)
    database.init_engine(uri, app=app)
    return names_in(app)
