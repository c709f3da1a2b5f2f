"""Define the tables of the trial, and create all tables when the database is first reached."""

from threading import Lock

from sqlalchemy import Connection, Engine, MetaData, String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.database import Base


class TrialBase(DeclarativeBase):
    """The base class of the trial's models, which are not part of the ledger."""


class Entry(TrialBase):
    """A row that a scenario writes; its name begins with the tag of the scenario."""

    __tablename__ = "trial_entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    value: Mapped[int] = mapped_column(default=0)


def create_tables_on_first_contact(engine: Engine, *more: MetaData) -> None:
    """Let the first connection of the engine create missing tables, before it is used.

    The connection itself creates them, so a database that is down is not contacted twice. If that fails,
    the caller gets the error, and the next connection tries again.

    Args:
        engine: The engine of the app.
        more: Tables besides those of the ledger.
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
