"""Clean a database between tests: as the harness does it, and as others do it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection, Engine, MetaData, func, insert, make_url, select
from sqlalchemy.orm import Session

from app.database.engines import make_engine
from bench.sampling import timed
from flask_sqlalchemy_testbed.backends import connection as connections
from flask_sqlalchemy_testbed.isolation import Isolation
from flask_sqlalchemy_testbed.servers.network import Server

HARNESS, RECREATE, DELETE = "testbed", "drop_all + create_all", "DELETE from all"
ROWS = [{"name": "tea"}, {"name": "milk"}, {"name": "sugar"}]
DIRTY = 2
# The first after another contender finds cold processor caches.
IN_A_ROW = 5


@dataclass(frozen=True)
class Cleaner:
    """A way to empty tables between tests; tests write through `bind`."""

    bind: Engine | Connection
    metadata: MetaData
    clean: Callable[[], object]

    def sample(self) -> float:
        """Return the seconds to clean the tables that a test has just written to."""
        return median(self._once() for _ in range(IN_A_ROW))

    def _once(self) -> float:
        with Session(self.bind, join_transaction_mode="create_savepoint") as session:
            # No table refers to the last ones.
            for table in self.metadata.sorted_tables[-DIRTY:]:
                session.execute(insert(table), ROWS)
            session.commit()
        return timed(self.clean)

    def rows(self) -> int:
        """Return how many rows are left in all tables."""
        counts = [select(func.count()).select_from(table) for table in self.metadata.sorted_tables]
        with Session(self.bind) as session:
            return sum(session.scalar(count) or 0 for count in counts)

    def close(self) -> None:
        """Close its connections."""
        if isinstance(self.bind, Connection):
            self.bind.close()
        self.bind.engine.dispose()


def harness(isolation: Isolation, metadata: MetaData) -> Cleaner:
    """Clean as this repository does."""

    def schema(uri: str) -> None:
        engine = make_engine(uri)
        metadata.create_all(engine)
        engine.dispose()

    isolation.clean(schema)
    return Cleaner(make_engine(isolation.database.uri), metadata, lambda: isolation.clean(schema))


def recreate(_server: Server, uri: str, metadata: MetaData) -> Cleaner:
    """Drop and create all tables."""
    engine = make_engine(uri)
    metadata.create_all(engine)

    def clean() -> None:
        metadata.drop_all(engine)
        metadata.create_all(engine)

    return Cleaner(engine, metadata, clean)


def savepoint(_server: Server, uri: str, metadata: MetaData) -> Cleaner:
    """Roll back the transaction around the test, whose commits are savepoints on one connection."""
    engine = make_engine(uri)
    metadata.create_all(engine)
    connection = engine.connect()
    transaction = connection.begin()

    def clean() -> None:
        nonlocal transaction
        transaction.rollback()
        transaction = connection.begin()

    return Cleaner(connection, metadata, clean)


def template(server: Server, uri: str, metadata: MetaData) -> Cleaner:
    """Drop the database, and copy it from a clean template."""
    engine = make_engine(uri)
    metadata.create_all(engine)
    engine.dispose()
    name = make_url(uri).database
    admin = connections.Connection(server.locate("postgres"))
    admin.rows(f"CREATE DATABASE {name}template TEMPLATE {name}")

    def clean() -> None:
        engine.dispose()
        admin.run([f"DROP DATABASE {name}", f"CREATE DATABASE {name} TEMPLATE {name}template"])

    return Cleaner(engine, metadata, clean)


def delete_in_batch(server: Server, uri: str, metadata: MetaData) -> Cleaner:
    """Delete the rows of all tables in one round trip."""
    engine = make_engine(uri)
    metadata.create_all(engine)
    connection = connections.Connection(server.locate(str(make_url(uri).database)))
    statements = [f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)]  # noqa: S608
    return Cleaner(engine, metadata, lambda: connection.batch(statements))


def empty_all(
    statements: Callable[[Sequence[str]], Sequence[str]],
) -> Callable[[Server, str, MetaData], Cleaner]:
    """Empty all tables, also those that were not written to, with these statements."""

    def make(_server: Server, uri: str, metadata: MetaData) -> Cleaner:
        engine = make_engine(uri)
        metadata.create_all(engine)
        names = [table.name for table in reversed(metadata.sorted_tables)]

        def clean() -> None:
            with engine.begin() as connection:
                for statement in statements(names):
                    connection.exec_driver_sql(statement)

        return Cleaner(engine, metadata, clean)

    return make


ALTERNATIVES: Mapping[str, Mapping[str, Callable[[Server, str, MetaData], Cleaner]]] = {
    "sqlite": {
        RECREATE: recreate,
        DELETE: empty_all(lambda names: [f"DELETE FROM {name}" for name in names]),  # noqa: S608
        "savepoint": savepoint,
    },
    "postgresql": {
        RECREATE: recreate,
        "TRUNCATE": empty_all(lambda names: [f"TRUNCATE {', '.join(names)} RESTART IDENTITY"]),
        DELETE: delete_in_batch,
        "template database": template,
        "savepoint": savepoint,
    },
    "mysql": {
        RECREATE: recreate,
        DELETE: delete_in_batch,
        "TRUNCATE": empty_all(
            lambda names: [
                "SET foreign_key_checks = 0",
                *(f"TRUNCATE {name}" for name in names),
                "SET foreign_key_checks = 1",
            ]
        ),
        "savepoint": savepoint,
    },
}
