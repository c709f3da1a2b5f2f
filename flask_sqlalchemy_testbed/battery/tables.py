"""Define the battery's own tables.

The prefix of their names keeps them apart from the tables of apps.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - the mapper reads the annotations
from decimal import Decimal  # noqa: TC003
from typing import Any
from uuid import UUID  # noqa: TC003

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Engine  # noqa: TC002
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
    relationship,
)

from flask_sqlalchemy_testbed.battery.observer import observer


class Base(DeclarativeBase):
    """The metadata of the battery."""


class Item(Base):
    """A row with a unique name."""

    __tablename__ = "testbed_item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)
    parts: Mapped[list[Part]] = relationship(back_populates="item")


OLD_ITEM = "INSERT INTO testbed_item (id, name) VALUES (1, 'old')"


class Part(Base):
    """A row that refers to an item."""

    __tablename__ = "testbed_part"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey(Item.id, ondelete="CASCADE"))
    item: Mapped[Item] = relationship(back_populates="parts")


PRECISE = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


class Value(Base):
    """One value of each type that databases treat differently."""

    __tablename__ = "testbed_value"

    id: Mapped[int] = mapped_column(primary_key=True)
    short: Mapped[str | None] = mapped_column(String(3))
    number: Mapped[int | None]
    amount: Mapped[Decimal | None] = mapped_column(Numeric(6, 2))
    moment: Mapped[datetime | None] = mapped_column(DateTime)
    precise: Mapped[datetime | None] = mapped_column(PRECISE)
    aware: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    document: Mapped[object | None] = mapped_column(JSON)
    universal: Mapped[UUID | None]
    blob: Mapped[bytes | None]


# A table that the harness does not create: the app's own engine does.
OWN = Table(
    "testbed_own",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(60), unique=True),
)


def session_of(session: Any) -> Session:
    """Return the real session behind a `scoped_session` or another proxy."""
    session.add(item := Item(name="never flushed"))
    found = object_session(item)
    assert found is not None  # noqa: S101 - for the type checker
    found.expunge(item)
    return found


# SQLite stores this mode in the file: set here, it does not depend on the app of an earlier check.
PREPARE = {"sqlite": "PRAGMA journal_mode = WAL"}


def create_all(uri: str) -> None:
    """Create the tables in the database of `uri`, over a connection of the battery.

    In a process of its own: the rules of the app for SQLAlchemy do not apply to them.
    """
    observer().observe("create_tables", uri)


def create_here(engine: Engine) -> None:
    """Create the tables in the database of an engine."""
    if statement := PREPARE.get(engine.dialect.name):
        with engine.connect() as connection:
            connection.execute(text(statement))
    Base.metadata.create_all(engine)
