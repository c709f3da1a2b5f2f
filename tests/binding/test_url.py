"""Promise 10: a URI is completed with a driver, a directory and a password."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL, Engine, event, make_url

from app.database import url
from app.database.engines import make_engine
from app.database.url import database_url, read_password


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
    monkeypatch.setattr(url, "find_spec", {"psycopg2": object()}.get)

    assert database_url(bare).drivername == driver


@pytest.mark.parametrize("bare", ["postgresql://u@h/d", "postgres://u@h/d"])
def test_without_psycopg2_a_scheme_gets_psycopg_3(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url, "find_spec", {}.get)

    assert database_url(bare).drivername == "postgresql+psycopg"


PASSWORD = "p@s/s:%#?"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_quoted_password_is_parsed_whole(scheme: str) -> None:
    quoted = URL.create(scheme, "u", PASSWORD, "h", database="d").render_as_string(hide_password=False)

    assert database_url(quoted).password == PASSWORD


@pytest.mark.parametrize("wrapped", ["{}", "{}\n", "{}\r\n", " {} \t\n", "\ufeff{}\n", "{}\nsecond line\n"])
def test_the_password_is_the_first_line_of_its_file(tmp_path: Path, wrapped: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(wrapped.format(PASSWORD).encode())

    assert read_password(path) == PASSWORD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has an empty first line"),
        (b" \n", "has an empty first line"),
        (b"\xff\xfes\x00", "is not UTF-8 text"),
    ],
)
def test_a_file_without_a_password_is_refused_before_anything_connects(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=f"^The password file {path} {message}[.] .*[.]$"):
        make_engine("mysql://u@h/d", password_file=path)


def test_a_missing_password_file_is_named_before_anything_connects(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-password"):
        make_engine("mysql://u@h/d", password_file=tmp_path / "no-such-password")


@pytest.mark.testbed_needs("server")
def test_the_password_file_is_read_for_each_connection(database_uri: str, tmp_path: Path) -> None:
    url = make_url(database_uri)
    path = tmp_path / "password"
    path.write_text(url.password or "any")
    engine = make_engine(url.set(password="not this"), password_file=path)
    passwords: list[object] = []

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: object, _record: object, _args: object, arguments: dict[str, object]) -> None:
        passwords.append(arguments["password"])
        arguments["password"] = url.password

    engine.connect().close()
    path.write_text("the new one")
    engine.dispose()
    engine.connect().close()
    engine.dispose()

    assert passwords == [url.password or "any", "the new one"]


@pytest.mark.parametrize(
    "uri", ["postgresql://u@h/db\n", "mysql://u@h/db\r\n", " mysql://u@h/db", "sqlite:////tmp/db\n"]
)
def test_a_uri_that_ends_in_white_space_is_refused(uri: str) -> None:
    with pytest.raises(
        ValueError, match=r"^The database URI begins or ends with a space or a line break[.] Remove it[.]$"
    ):
        database_url(uri)


def test_a_database_name_that_ends_in_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="begins or ends with"):
        database_url(URL.create("mysql", host="h", database="db\n"))


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


def arguments_of(engine: Engine) -> dict[str, Any]:
    """Return the arguments with which the engine calls its driver. Nothing connects."""
    seen: dict[str, Any] = {}

    class NotConnectedError(Exception):
        pass

    @event.listens_for(engine, "do_connect")
    def connecting(_dialect: object, _record: object, _args: object, arguments: dict[str, Any]) -> None:
        seen.update(arguments)
        raise NotConnectedError

    with pytest.raises(NotConnectedError):
        engine.connect()
    return seen


def test_an_option_replaces_the_default_of_the_same_name() -> None:
    engine = make_engine(
        "mysql://u@h/d?charset=latin1", connect_args={"read_timeout": 1}, pool_pre_ping=False
    )
    arguments = arguments_of(engine)

    assert arguments["charset"] == "latin1"
    assert arguments["read_timeout"] == 1
    assert arguments["write_timeout"] == 30
    assert engine.pool._pre_ping is False  # noqa: SLF001 - no public way to ask


OURS = "-c timezone=UTC -c statement_timeout=30s"


@pytest.mark.parametrize(
    ("query", "connect_args", "options"),
    [
        ("", {}, f"{OURS} -c jit=off"),
        ("?options=-c%20jit%3Don", {}, f"{OURS} -c jit=on"),
        ("?options=-c%20jit%3Don&options=-c%20geqo%3Doff", {}, f"{OURS} -c jit=on -c geqo=off"),
        ("?options=-c%20jit%3Don", {"options": "-c geqo=off"}, f"{OURS} -c geqo=off"),
    ],
)
def test_options_of_postgresql_and_of_its_environment_are_added_to_the_defaults(
    query: str, connect_args: dict[str, str], options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c jit=off")

    assert (
        arguments_of(make_engine(f"postgresql://u@h/d{query}", connect_args=connect_args))["options"]
        == options
    )


def test_the_connect_timeout_of_the_environment_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")

    assert "connect_timeout" not in arguments_of(make_engine("postgresql://u@h/d"))


def test_an_engine_takes_a_pool_that_was_made_elsewhere() -> None:
    pool = make_engine("mysql://u@h/d").pool.recreate()

    assert make_engine("mysql://u@h/d", pool=pool).pool is pool


def test_autocommit_works_on_sqlite() -> None:
    engine = make_engine("sqlite://", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar() == 1
    engine.dispose()
