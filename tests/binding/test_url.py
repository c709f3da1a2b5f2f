"""Promise 10: a URI is completed with a driver, a directory and a password."""

from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from app.database import engines
from app.database.engines import database_url, make_engine


@pytest.mark.parametrize(
    ("bare", "driver"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg2"),
        ("postgres://u@h/d", "postgresql+psycopg2"),
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mariadb+pymysql"),
        ("mysql+mysqldb://u@h/d", "mysql+mysqldb"),
    ],
)
def test_a_scheme_without_a_driver_gets_an_installed_driver(
    bare: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", {"psycopg2": object()}.get)

    assert database_url(bare).drivername == driver


@pytest.mark.parametrize("bare", ["postgresql://u@h/d", "postgres://u@h/d"])
def test_without_psycopg2_a_scheme_gets_psycopg_3(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", {}.get)

    assert database_url(bare).drivername == "postgresql+psycopg"


PASSWORD = "p@s/s:%#?"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_quoted_password_is_parsed_whole(scheme: str) -> None:
    quoted = URL.create(scheme, "u", PASSWORD, "h", database="d").render_as_string(hide_password=False)

    assert database_url(quoted).password == PASSWORD


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_password_comes_from_a_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "password"
    path.write_bytes((PASSWORD + ending).encode())

    assert database_url("postgresql://u@h/d", password_file=path).password == PASSWORD


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-password"):
        database_url("postgresql://u@h/d", password_file=tmp_path / "no-such-password")


@pytest.mark.parametrize("uri", ["postgresql://u:p@ss/w@h/d", "mysql://u:p@ss@h/d", "nonsense", ""])
def test_a_wrong_uri_is_refused_by_a_message_without_the_password(uri: str) -> None:
    with pytest.raises(ValueError, match="database URI") as error:
        database_url(uri)
    assert "p@ss" not in str(error.value)


def test_a_relative_sqlite_path_begins_at_the_directory_which_is_created(tmp_path: Path) -> None:
    assert database_url("sqlite:///sub/a.db", directory=tmp_path).database == str(tmp_path / "sub" / "a.db")
    assert (tmp_path / "sub").is_dir()


@pytest.mark.parametrize(
    "uri", ["sqlite://", "sqlite:///:memory:", "sqlite:////tmp/a.db", "sqlite:///file:a?uri=true"]
)
def test_other_sqlite_databases_are_left_as_they_are(uri: str, tmp_path: Path) -> None:
    assert database_url(uri, directory=tmp_path) == make_url(uri)


def test_an_option_replaces_the_default_of_the_same_name() -> None:
    engine = make_engine(
        "mysql://u@h/d?charset=latin1", connect_args={"read_timeout": 1}, pool_pre_ping=False
    )
    arguments = engine.dialect.create_connect_args(engine.url)[1]

    assert arguments["charset"] == "latin1"
    assert engine.pool._pre_ping is False  # noqa: SLF001 - no public way to ask


def test_autocommit_works_on_sqlite() -> None:
    engine = make_engine("sqlite://", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 1
    engine.dispose()
