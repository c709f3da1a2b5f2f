"""Share two tables, the peer, and connections that bypass the peer.

The module `peer` has `make(uri)`, which makes an app as the peer's documentation does, and `session()`, which
returns the session of the current context.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import peer
from flask import Flask
from sqlalchemy import ForeignKey, NullPool, String, create_engine, make_url, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


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


def of(uri: str, table: Mapping[str, Any]) -> Any:
    """Return the entry of a database; MariaDB has that of MySQL, unless it has one of its own."""
    name = make_url(uri).get_backend_name()
    return table["mysql" if name == "mariadb" and name not in table else name]


def make(uri: str) -> Flask:
    """Return an app of the peer that answers errors with 500, as in production."""
    app: Flask = peer.make(uri)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


def session() -> Any:
    return peer.session()


def pool_of(app: Flask) -> Any:
    """Return the pool of the app.

    A thread of its own looks it up, so that no session stays in this thread.
    """

    def ask() -> Any:
        with app.app_context():
            return session().get_bind().pool

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result()


def write(name: str = "uncommitted") -> str:
    """Leave a transaction open, with an uncommitted row."""
    session().add(Item(name=name))
    session().flush()
    return "written"


def add(app: Flask, name: str) -> None:
    with app.app_context():
        session().add(Item(name=name))
        session().commit()


def seen() -> list[str]:
    """Return the names that the peer's session reads."""
    return list(session().scalars(select(Item.name).order_by(Item.id)))


def outside(uri: str, statement: str) -> list[Any]:
    """Execute a statement on another connection, and return its rows."""
    engine = create_engine(uri, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(statement))
        return list(result) if result.returns_rows else []


def names(uri: str) -> list[str]:
    """Return the committed names."""
    return [name for (name,) in outside(uri, "SELECT name FROM item ORDER BY id")]
