import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pymysql
import pytest
from sqlalchemy import URL, create_engine

from flask_sqlalchemy_testbed.subject.guard import ForbiddenDatabaseError, only_databases_of_the_run

OURS = "testbed_0123456789ab"
# Nothing listens there, so an allowed connection fails in the driver.
NOWHERE = {"host": "127.0.0.1", "port": 1, "user": "x", "password": "secret"}


def postgresql(database: str) -> object:
    return psycopg2.connect(dbname=database, **NOWHERE)  # type: ignore[call-overload]


SERVERS: list[Callable[[str], object]] = [
    postgresql,
    lambda name: psycopg2.connect(f"host=127.0.0.1 port=1 password=secret dbname='{name}'"),
    lambda name: psycopg2.connect(f"postgresql://x:secret@127.0.0.1:1/{name}"),
    lambda name: pymysql.connect(database=name, **NOWHERE),  # type: ignore[call-overload]
    lambda name: create_engine(
        URL.create("postgresql+psycopg2", "x", "secret", "127.0.0.1", 1, name)
    ).connect(),
    lambda name: create_engine("postgresql+psycopg2://", creator=lambda: postgresql(name)).connect(),
]


@pytest.mark.parametrize("connect", SERVERS)
@pytest.mark.parametrize("database", ["shop", "testbed", "testbed_0123456789abc", f"x{OURS}", ""])
def test_other_databases_are_refused(connect: Callable[[str], object], database: str) -> None:
    with only_databases_of_the_run() as refused, pytest.raises(ForbiddenDatabaseError) as raised:
        connect(database)

    assert refused
    assert "127.0.0.1:1 is not a database of this run" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("connect", SERVERS)
@pytest.mark.parametrize("database", [OURS, f"{OURS}_other"])
def test_databases_of_runs_are_allowed(connect: Callable[[str], object], database: str) -> None:
    with only_databases_of_the_run() as refused, pytest.raises(Exception, match=r"refused|connect"):
        connect(database)

    assert refused == []


@pytest.mark.parametrize("path", ["shop.db", "file:shop.db?mode=rwc", "xtestbed_1.db"])
def test_other_files_are_refused_and_not_created(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with only_databases_of_the_run() as refused:
        with pytest.raises(ForbiddenDatabaseError):
            sqlite3.connect(path, uri=True)
        with pytest.raises(ForbiddenDatabaseError):
            create_engine(f"sqlite:///{tmp_path}/shop.db").connect()
        with ThreadPoolExecutor() as threads, pytest.raises(ForbiddenDatabaseError):
            threads.submit(sqlite3.connect, "shop.db").result()

    assert len(refused) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path", ["{}/testbed_1.db", "file:{}/testbed_1.db?mode=rwc", ":memory:", "file:x?mode=memory"]
)
def test_files_of_runs_and_memory_are_allowed(tmp_path: Path, path: str) -> None:
    with only_databases_of_the_run() as refused:
        sqlite3.connect(path.format(tmp_path), uri=True).close()

    assert refused == []


def test_afterwards_nothing_is_refused(tmp_path: Path) -> None:
    with only_databases_of_the_run():
        pass

    sqlite3.connect(tmp_path / "shop.db").close()
    with pytest.raises(psycopg2.OperationalError):
        postgresql("shop")
