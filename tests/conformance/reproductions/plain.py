"""What the reproductions start from: two tables, the peer, and a way to the database past it.

The peer is the module `peer` of the folder that they are run with:
`make(uri)` makes an app as the peer's documentation does, `session()` is the session inside a context.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import peer
from sqlalchemy import ForeignKey, NullPool, String, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from flask import Flask


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(60), unique=True)


class Part(Base):
    __tablename__ = "part"

    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey(Item.id, ondelete="CASCADE"))


def make(uri: str) -> Flask:
    """An app of the peer's that answers errors with 500, as in production."""
    app: Flask = peer.make(uri)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


def session() -> Any:
    return peer.session()


def pool_of(app: Flask) -> Any:
    """What lends the app its connections. Asked for first, in a thread that leaves nothing to others."""

    def ask() -> Any:
        with app.app_context():
            return session().get_bind().pool

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result()


def write(name: str = "uncommitted") -> str:
    """Leave a transaction open, with a row in it that nobody committed."""
    session().add(Item(name=name))
    session().flush()
    return "written"


def add(app: Flask, name: str) -> None:
    with app.app_context():
        session().add(Item(name=name))
        session().commit()


def seen() -> list[str]:
    """The names that the peer's session sees."""
    return list(session().scalars(select(Item.name).order_by(Item.id)))


def outside(uri: str, statement: str) -> list[Any]:
    """What the database answers somebody else."""
    engine = create_engine(uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        return list(result) if result.returns_rows else []


def names(uri: str) -> list[str]:
    """The committed names."""
    return [name for (name,) in outside(uri, "SELECT name FROM item ORDER BY id")]
