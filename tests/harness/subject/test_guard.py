import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
import pymysql
import pytest
from sqlalchemy import URL, create_engine, make_url

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.guard import (
    ForbiddenDatabaseError,
    only_databases_of_the_run,
    suspended,
)

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


@pytest.fixture(autouse=True)
def nothing_else_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_allowed", set())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a SQLite file of this run."""
    guard.allow(make_url(f"sqlite:///{tmp_path / OURS}.db"))
    return tmp_path / f"{OURS}.db"


@pytest.mark.parametrize("connect", SERVERS)
@pytest.mark.parametrize(
    "database", ["shop", f"{OURS}_other", f"{OURS}c", f"x{OURS}", "testbed_ba9876543210", ""]
)
def test_other_databases_are_refused(connect: Callable[[str], object], database: str) -> None:
    guard.allow(make_url(f"mysql://host/{OURS}"))

    with only_databases_of_the_run() as refused, pytest.raises(ForbiddenDatabaseError) as raised:
        connect(database)

    assert refused
    assert "127.0.0.1:1 is not a database of this run" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("connect", SERVERS)
def test_a_database_of_the_run_is_allowed_at_any_address(connect: Callable[[str], object]) -> None:
    guard.allow(make_url(f"postgresql://host:5432/{OURS}"))

    with only_databases_of_the_run() as refused, pytest.raises(Exception, match=r"refused|connect"):
        connect(OURS)

    assert refused == []


@pytest.mark.parametrize("path", ["shop.db", "file:shop.db?mode=rwc", "testbed_1.db", f"{OURS}.db"])
@pytest.mark.usefixtures("file")
def test_other_files_are_refused_and_not_created(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")

    with only_databases_of_the_run() as refused:
        with pytest.raises(ForbiddenDatabaseError):
            sqlite3.connect(path, uri=True)
        with pytest.raises(ForbiddenDatabaseError):
            create_engine(f"sqlite:///{tmp_path}/shop.db").connect()
        with ThreadPoolExecutor() as threads, pytest.raises(ForbiddenDatabaseError):
            threads.submit(sqlite3.connect, "shop.db").result()

    assert len(refused) == 3
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize(
    "path", ["{}", "file:{}?mode=rwc", "file://{}", ":memory:", "", "file:x?mode=memory"]
)
def test_files_of_the_run_and_memory_are_allowed(file: Path, path: str) -> None:
    with only_databases_of_the_run() as refused:
        sqlite3.connect(path.format(file), uri=True).close()

    assert refused == []


def test_a_link_to_a_file_of_the_run_is_allowed_and_one_to_another_file_refused(
    tmp_path: Path, file: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / file.name).symlink_to(tmp_path / "shop.db")

    with only_databases_of_the_run() as refused:
        sqlite3.connect(tmp_path / "link" / file.name).close()
        with pytest.raises(ForbiddenDatabaseError):
            sqlite3.connect(tmp_path / "other" / file.name)

    assert [refusal.file for refusal in refused] == [str(tmp_path / "other" / file.name)]


def test_the_connections_of_the_harness_are_allowed(tmp_path: Path) -> None:
    connection = Connection(make_url(f"sqlite:///{tmp_path}/harness.db"))

    with only_databases_of_the_run() as refused:
        assert connection.rows("SELECT 1") == [(1,)]
        connection.close()
        with pytest.raises(ForbiddenDatabaseError):
            sqlite3.connect(tmp_path / "harness.db")

    assert len(refused) == 1


def test_the_data_file_of_coverage_is_allowed(tmp_path: Path) -> None:
    coverage = pytest.importorskip("coverage", reason="coverage is not installed")
    data = coverage.CoverageData(str(tmp_path / ".coverage"))

    with only_databases_of_the_run() as refused:
        data.add_lines({"shop.py": [1]})
        data.close()

    assert refused == []


def test_a_child_process_allows_the_same_databases_and_tells_its_refusals(tmp_path: Path, file: Path) -> None:
    other, log = tmp_path / "testbed_other.db", tmp_path / "refusals"
    code = f"""
import sqlite3
from flask_sqlalchemy_testbed.subject import guard
guard.inherit()
guard.start()
sqlite3.connect({str(file)!r})
sqlite3.connect({str(other)!r})
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], env=guard.environment(log), capture_output=True, text=True, check=False
    )
    with only_databases_of_the_run() as refused:
        guard.read_refusals(log)

    assert "ForbiddenDatabaseError" in ran.stderr
    assert set(tmp_path.iterdir()) == {file, log}
    assert [refusal.file for refusal in refused] == [str(other)]


def test_nothing_is_refused_while_the_guard_is_suspended_and_afterwards(tmp_path: Path) -> None:
    with only_databases_of_the_run() as refused:
        with suspended():
            sqlite3.connect(tmp_path / "shop.db").close()
        with pytest.raises(ForbiddenDatabaseError):
            sqlite3.connect(tmp_path / "shop.db")

    assert len(refused) == 1
    sqlite3.connect(tmp_path / "shop.db").close()
    with pytest.raises(psycopg2.OperationalError):
        postgresql("shop")
