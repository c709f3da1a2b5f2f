"""The table of the binding's tests, and questions that they ask an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app import database

if TYPE_CHECKING:
    from flask import Flask
    from sqlalchemy import Engine


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
