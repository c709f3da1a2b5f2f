"""Promise 10: read-only SQLite files work, and drivers that begin transactions."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import (
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    event,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.exc import IntegrityError

from app.database.engines import make_engine

from .marker import Base, Marker


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Create a file with one row that is not in write-ahead mode."""
    path = tmp_path / "folder" / "old.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE marker (id INTEGER PRIMARY KEY, name VARCHAR(60))")
        connection.execute("INSERT INTO marker VALUES (1, 'kept')")
    connection.close()
    return path


def names_in(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        names = list(connection.scalars(select(Marker.name)))
    engine.dispose()
    return names


@pytest.mark.parametrize("query", ["mode=ro", "immutable=1", "mode=ro&immutable=1"])
def test_a_file_that_is_opened_read_only_can_be_read(path: Path, query: str) -> None:
    before = path.read_bytes()

    assert names_in(make_engine(f"sqlite:///file:{path}?{query}&uri=true")) == ["kept"]
    assert path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_file_in_a_read_only_folder_can_be_read(path: Path) -> None:
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        assert names_in(make_engine(f"sqlite:///{path}")) == ["kept"]
    finally:
        path.parent.chmod(0o700)


def test_a_file_that_another_program_reads_can_be_read(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM marker").fetchall()

    assert names_in(make_engine(f"sqlite:///{path}", connect_args={"timeout": 0.1})) == ["kept"]
    other.close()


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="the sqlite3 module has `autocommit` since Python 3.12"
)
class TestDriverBegins:
    """With ``connect_args={"autocommit": False}`` the driver begins each transaction."""

    @pytest.fixture(params=["file", "memory"])
    def engine(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
        uri = f"sqlite:///{tmp_path}/new.db" if request.param == "file" else "sqlite://"
        engine = make_engine(uri, connect_args={"autocommit": False})
        Base.metadata.create_all(engine)
        yield engine
        engine.dispose()

    def test_a_rollback_undoes_what_the_binding_did_not_begin(self, engine: Engine) -> None:
        sent: list[str] = []
        event.listen(
            engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: sent.append(statement)
        )
        with engine.connect() as connection:
            connection.execute(insert(Marker).values(name="gone"))
            connection.rollback()

        with engine.connect() as connection:
            assert connection.scalar(select(func.count(Marker.id))) == 0
        assert not any(statement.startswith("BEGIN") for statement in sent)

    def test_foreign_keys_are_enforced(self, engine: Engine) -> None:
        metadata = MetaData()
        Table("parent", metadata, Column("id", Integer, primary_key=True))
        child = Table("child", metadata, Column("parent_id", ForeignKey("parent.id")))
        metadata.create_all(engine)

        with engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(child.insert().values(parent_id=1))

    def test_a_file_is_switched_to_write_ahead_logging(self, tmp_path: Path) -> None:
        engine = make_engine(f"sqlite:///{tmp_path}/new.db", connect_args={"autocommit": False})
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        engine.dispose()

    def test_autocommit_of_the_driver_begins_nothing(self) -> None:
        engine = make_engine("sqlite://", connect_args={"autocommit": True})
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE TABLE kept (x INTEGER)")

        assert inspect(engine).has_table("kept")
        engine.dispose()
