"""Ways to a clean database for the next test: the harness's, and those of others."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, func, insert, make_url, select
from sqlalchemy.orm import Session

from app.database.engines import make_engine
from bench.sampling import timed
from flask_sqlalchemy_testbed.backends import connection as connections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import MetaData

    from flask_sqlalchemy_testbed.isolation import Isolation
    from flask_sqlalchemy_testbed.servers.network import Server

HARNESS, ANEW = "testbed", "drop_all + create_all"
ROWS = [{"name": "tea"}, {"name": "milk"}, {"name": "sugar"}]
DIRTY = 2
# After others had their turn, the first finds nothing of its own in the processor's caches.
IN_A_ROW = 5


@dataclass(frozen=True)
class Way:
    """How the tests of somebody begin with empty tables; `bind` is what they write through."""

    bind: Engine | Connection
    metadata: MetaData
    clean: Callable[[], object]

    def sample(self) -> float:
        """The seconds that it takes to clean two tables that a test has just written to, as tests go on."""
        return median(self._once() for _ in range(IN_A_ROW))

    def _once(self) -> float:
        with Session(self.bind, join_transaction_mode="create_savepoint") as session:
            # The last, which nothing refers to.
            for table in self.metadata.sorted_tables[-DIRTY:]:
                session.execute(insert(table), ROWS)
            session.commit()
        return timed(self.clean)

    def rows(self) -> int:
        """How many are left."""
        counts = [select(func.count()).select_from(table) for table in self.metadata.sorted_tables]
        with Session(self.bind) as session:
            return sum(session.scalar(count) or 0 for count in counts)

    def close(self) -> None:
        """Lets go of its connections."""
        if isinstance(self.bind, Connection):
            self.bind.close()
        self.bind.engine.dispose()


def harness(isolation: Isolation, metadata: MetaData) -> Way:
    """What this repository does."""

    def schema(uri: str) -> None:
        engine = make_engine(uri)
        metadata.create_all(engine)
        engine.dispose()

    isolation.clean(schema)
    return Way(make_engine(isolation.database.uri), metadata, lambda: isolation.clean(schema))


def anew(_server: Server, uri: str, metadata: MetaData) -> Way:
    """All tables are dropped and made again."""
    engine = make_engine(uri)
    metadata.create_all(engine)

    def clean() -> None:
        metadata.drop_all(engine)
        metadata.create_all(engine)

    return Way(engine, metadata, clean)


def savepoint(_server: Server, uri: str, metadata: MetaData) -> Way:
    """Nothing is ever committed: the test's commits are savepoints of one transaction, on one connection."""
    engine = make_engine(uri)
    metadata.create_all(engine)
    connection = engine.connect()
    transaction = connection.begin()

    def clean() -> None:
        nonlocal transaction
        transaction.rollback()
        transaction = connection.begin()

    return Way(connection, metadata, clean)


def template(server: Server, uri: str, metadata: MetaData) -> Way:
    """The database is dropped, and copied from one that was kept clean."""
    engine = make_engine(uri)
    metadata.create_all(engine)
    engine.dispose()
    name = make_url(uri).database
    admin = connections.Connection(server.locate("postgres"))
    admin.rows(f"CREATE DATABASE {name}template TEMPLATE {name}")

    def clean() -> None:
        engine.dispose()
        admin.run([f"DROP DATABASE {name}", f"CREATE DATABASE {name} TEMPLATE {name}template"])

    return Way(engine, metadata, clean)


def emptied(statements: Callable[[Sequence[str]], Sequence[str]]) -> Callable[[Server, str, MetaData], Way]:
    """All tables are emptied, whether they were written to or not."""

    def way(_server: Server, uri: str, metadata: MetaData) -> Way:
        engine = make_engine(uri)
        metadata.create_all(engine)
        names = [table.name for table in reversed(metadata.sorted_tables)]

        def clean() -> None:
            with engine.begin() as connection:
                for statement in statements(names):
                    connection.exec_driver_sql(statement)

        return Way(engine, metadata, clean)

    return way


# What each database has to offer.
RIVALS: Mapping[str, Mapping[str, Callable[[Server, str, MetaData], Way]]] = {
    "sqlite": {
        ANEW: anew,
        "DELETE from all": emptied(lambda names: [f"DELETE FROM {name}" for name in names]),  # noqa: S608
        "savepoint": savepoint,
    },
    "postgresql": {
        ANEW: anew,
        "TRUNCATE": emptied(lambda names: [f"TRUNCATE {', '.join(names)} RESTART IDENTITY"]),
        "template database": template,
        "savepoint": savepoint,
    },
    "mysql": {
        ANEW: anew,
        "TRUNCATE": emptied(
            lambda names: [
                "SET foreign_key_checks = 0",
                *(f"TRUNCATE {name}" for name in names),
                "SET foreign_key_checks = 1",
            ]
        ),
        "savepoint": savepoint,
    },
}
