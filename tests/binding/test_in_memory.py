"""Promise 10: all connections share a database in memory, each with its transaction."""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, insert, inspect, select

from app.database.engines import make_engine

from .marker import Base, Marker


@pytest.fixture(params=["sqlite://", "sqlite:///:memory:"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(request.param)
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def names_in(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Marker.name)))


def test_every_thread_sees_the_same_database(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Marker).values(name="seen"))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(names_in, [engine] * 2)) == [["seen"]] * 2


def test_each_connection_has_a_transaction_of_its_own(engine: Engine) -> None:
    with engine.connect() as writer, engine.connect() as other:
        writer.execute(insert(Marker).values(name="kept"))
        other.rollback()
        writer.commit()

    assert names_in(engine) == ["kept"]


def test_the_database_survives_dispose(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Marker).values(name="kept"))
    engine.dispose()
    gc.collect()

    assert names_in(engine) == ["kept"]


def test_each_engine_has_a_database_of_its_own(engine: Engine) -> None:
    other = make_engine("sqlite://")
    Base.metadata.create_all(other)
    with other.begin() as connection:
        connection.execute(insert(Marker).values(name="other"))

    assert names_in(engine) == []
    other.dispose()


def test_the_database_is_deleted_with_its_engine() -> None:
    engine = make_engine("sqlite://")
    url = engine.url
    Base.metadata.create_all(engine)
    engine.dispose()
    gone = weakref.ref(engine)
    del engine
    gc.collect()

    assert gone() is None
    again = make_engine(url)
    with again.connect() as connection:
        assert inspect(connection).get_table_names() == []
    again.dispose()
