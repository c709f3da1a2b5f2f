"""Promise 3: the configuration selects the database."""

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import make_url

import app as ledger
from app import create_app

from .marker import engine_of


def database_of(app: Flask) -> str | None:
    return engine_of(app).url.database


def test_a_cfg_file_selects_the_database(database_uri: str, tmp_path: Path) -> None:
    path = tmp_path / "test.cfg"
    path.write_text(f"DATABASE_URI = {database_uri!r}\n")

    assert (
        database_of(create_app(str(path))) == database_of(create_app(path)) == make_url(database_uri).database
    )


def test_a_relative_cfg_path_begins_at_the_working_directory(
    database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test.cfg").write_text(f"DATABASE_URI = {database_uri!r}\n")
    monkeypatch.chdir(tmp_path)

    assert database_of(create_app("test.cfg")) == make_url(database_uri).database


def test_a_mapping_selects_the_database(database_uri: str) -> None:
    assert database_of(create_app({"DATABASE_URI": database_uri})) == make_url(database_uri).database


def test_without_configuration_the_environment_names_the_file(
    database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test.cfg").write_text(f"DATABASE_URI = {database_uri!r}\n")
    monkeypatch.setenv("APP_CONFIG", str(tmp_path / "test.cfg"))

    assert database_of(create_app()) == make_url(database_uri).database


def test_by_default_the_database_is_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APP_CONFIG", raising=False)
    app = create_app()

    assert engine_of(app).dialect.name == "sqlite"
    assert database_of(app) == str(Path(app.instance_path, "ledger.db"))


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_each_backend_has_a_cfg_file(name: str) -> None:
    path = Path(ledger.__file__).parent / "config" / f"{name}.cfg"

    assert engine_of(create_app(path)).dialect.name == name


def test_a_configuration_without_a_uri_says_what_to_set() -> None:
    with pytest.raises(ValueError, match=r'no DATABASE_URI[.] Set one, such as "sqlite:///ledger[.]db"'):
        create_app({})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"no-such-file[.]cfg"):
        create_app("no-such-file.cfg")


def test_engine_options_come_from_the_configuration(database_uri: str) -> None:
    app = create_app({"DATABASE_URI": database_uri, "DATABASE_ENGINE_OPTIONS": {"pool_size": 2}})

    assert engine_of(app).pool.size() == 2  # type: ignore[attr-defined]


def test_a_password_file_comes_from_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-password"):
        create_app({"DATABASE_URI": "mysql://u@h/d", "DATABASE_PASSWORD_FILE": tmp_path / "no-such-password"})
