"""Promise 10: all connections share a database in memory, each with its transaction."""

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, inspect, select

from app.database.engines import make_engine

from .marker import Base, Marker

SPELLINGS = [
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:///:memory:?timeout=3",
    "sqlite:///file::memory:?uri=true",
    "sqlite:///file::memory:?cache=shared&uri=true",
    "sqlite:///file:%3Amemory%3A?cache=shared&uri=1",
    "sqlite:///file:?uri=true",
    "sqlite:///file:{name}?mode=memory&uri=true",
    "sqlite:///file:{name}?mode=memory&cache=shared&uri=true",
    "sqlite:///file:{name}?vfs=memdb&uri=true",
    "sqlite:///file:/{name}?vfs=memdb&uri=true",
]


@pytest.fixture(params=SPELLINGS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    # SQLite shares such a name in the whole process.
    engine = make_engine(request.param.format(name=uuid4().hex))
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


@pytest.mark.parametrize(
    "uri",
    ["sqlite:///file:first?mode=memory&cache=shared&uri=true", "sqlite:///file:/second?vfs=memdb&uri=true"],
)
def test_a_database_with_a_shared_name_is_shared_by_engines(uri: str) -> None:
    first, second = make_engine(uri), make_engine(uri)
    Base.metadata.create_all(first)
    with first.begin() as connection:
        connection.execute(insert(Marker).values(name="shared"))

    assert names_in(second) == ["shared"]
    first.dispose()
    second.dispose()


def test_the_arguments_of_the_driver_are_kept() -> None:
    engine = make_engine("sqlite:///file::memory:?cache=shared&timeout=3&uri=true")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 3000
    engine.dispose()


def test_a_file_is_not_taken_for_memory(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///file:{tmp_path}/memory.db?uri=true&mode=rwc")
    Base.metadata.create_all(engine)
    engine.dispose()

    assert (tmp_path / "memory.db").exists()


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
