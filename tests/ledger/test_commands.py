from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import inspect, make_url

from app import create_app
from app.database import db_session, drop_all, get_engine, live_sessions
from app.models import Account, Transfer


@pytest.fixture
def empty(app: Flask) -> Flask:
    """Return an app whose database has no table."""
    with app.app_context():
        drop_all()
    return app


def test_init_db_creates_the_tables_and_names_them(empty: Flask) -> None:
    result = empty.test_cli_runner().invoke(args=["init-db"])

    assert result.exit_code == 0
    assert "Created account, transfer" in result.output
    with empty.app_context():
        assert {"account", "transfer"} <= set(inspect(get_engine()).get_table_names())


def test_init_db_keeps_existing_rows(app: Flask, open_account: Callable[..., int]) -> None:
    account_id = open_account("12.50")

    result = app.test_cli_runner().invoke(args=["init-db"])

    assert result.exit_code == 0
    assert "Nothing to do" in result.output
    with app.app_context():
        assert db_session.get(Account, account_id) is not None


def test_init_db_never_shows_a_password(empty: Flask, database_uri: str) -> None:
    output = empty.test_cli_runner().invoke(args=["init-db"]).output

    assert f":{make_url(database_uri).password}@" not in output


def test_workers_that_run_init_db_at_once_all_succeed(empty: Flask, make_app: Callable[..., Flask]) -> None:
    del empty
    apps = [make_app() for _ in range(4)]
    barrier = Barrier(len(apps))

    def work(app: Flask) -> tuple[int, str]:
        barrier.wait(60)
        result = app.test_cli_runner().invoke(args=["init-db"])
        return result.exit_code, f"{result.output}{result.exception!r}"

    with ThreadPoolExecutor(len(apps)) as threads:
        results = list(threads.map(work, apps, timeout=60))

    assert [code for code, _ in results] == [0] * len(apps), results


def test_init_db_reports_a_database_that_is_away(database_uri: str, tmp_path: Path) -> None:
    url = make_url(database_uri)
    url = url.set(port=1) if url.host else url.set(database=str(tmp_path))
    app = create_app({"DATABASE_URI": url.render_as_string(hide_password=False)})

    result = app.test_cli_runner().invoke(args=["init-db"])

    assert result.exit_code == 1
    assert "cannot be reached" in result.output
    assert "Traceback" not in result.output


def test_a_shell_starts_with_the_session_and_the_models(app: Flask) -> None:
    names = app.make_shell_context()

    assert (names["db_session"], names["Account"], names["Transfer"]) == (db_session, Account, Transfer)


def test_a_command_leaves_no_session_behind(app: Flask) -> None:
    @app.cli.command("forget")
    def forget() -> None:
        db_session.connection()

    before = live_sessions()

    result = app.test_cli_runner().invoke(args=["forget"])

    assert result.exit_code == 0
    assert live_sessions() == before
