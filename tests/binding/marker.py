"""The table of the binding's tests, and questions that they ask an app."""

from flask import Flask
from sqlalchemy import Engine, String
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
