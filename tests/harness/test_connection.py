"""The harness's own connection works alike with every driver."""

import ssl
import subprocess
import sys
from contextlib import closing

import pytest

from flask_sqlalchemy_testbed.databases import Database


def test_a_query_can_be_repeated_after_an_app_has_altered_its_table(testbed_database: Database) -> None:
    connection = testbed_database.connection
    connection.run(["CREATE TABLE things (id INTEGER)", "INSERT INTO things VALUES (1)"])
    for _ in range(10):  # psycopg would prepare the statement at the fifth
        connection.rows("SELECT * FROM things")
    with closing(Database(testbed_database.backend, testbed_database.url).connection) as app:
        app.rows("ALTER TABLE things ADD COLUMN name VARCHAR(20)")

    assert connection.rows("SELECT * FROM things") == [(1, None)]


def test_certificates_are_loaded_once_for_all_connections_to_a_server(
    testbed_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    testbed_database.connection.rows("SELECT 1")
    monkeypatch.delattr(ssl, "create_default_context")
    with closing(Database(testbed_database.backend, testbed_database.url).connection) as another:
        assert another.rows("SELECT 1") == [(1,)]


@pytest.mark.bad_day
def test_threads_can_import_the_dialects_of_mysql_and_mariadb_at_once() -> None:
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from sqlalchemy import make_url

from flask_sqlalchemy_testbed.backends.connection import Connection

together = Barrier(2)


def connect(uri):
    together.wait(10)
    return Connection(make_url(uri))


sys.setswitchinterval(1e-5)  # without the lock, most runs fail then
with ThreadPoolExecutor() as threads:
    list(threads.map(connect, ["mysql+pymysql://user@host/db", "mariadb+pymysql://user@host/db"]))
"""
    for _ in range(4):
        ended = subprocess.run(
            [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stderr
