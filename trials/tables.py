"""Tables for a database that may not be there yet when the process starts."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from sqlalchemy import String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.database import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData


class TrialBase(DeclarativeBase):
    """What the trial writes, apart from the ledger."""


class Entry(TrialBase):
    """What a scenario writes; its name begins with the scenario's own tag."""

    __tablename__ = "trial_entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    value: Mapped[int] = mapped_column(default=0)


def create_tables_on_first_contact(engine: Engine, *more: MetaData) -> None:
    """Let the first connection that succeeds create what is missing, before anybody uses one.

    It does so on that connection itself: whoever wants the database anyway pays for it, and
    one that is down is not asked twice. A failure is that caller's, and the next one tries again.
    """
    lock = Lock()
    done = False

    def connected(connection: Connection) -> None:
        nonlocal done
        if done:
            return
        try:
            with lock:
                if not done:
                    for tables in (Base.metadata, *more):
                        tables.create_all(connection)
                    connection.commit()
                    done = True
        except BaseException:
            connection.close()
            raise

    event.listen(engine, "engine_connect", connected)
