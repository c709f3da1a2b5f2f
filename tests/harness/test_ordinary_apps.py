"""Ordinary apps, as in public repositories: the battery tries them, or says in one sentence why it cannot."""

import json
import shutil
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from tests.harness.projects import Project
from tests.harness.test_command import MODULE, run

APPS = Path(__file__).parent / "ordinary"
REQUESTS = ("lifecycle.request-ends", "lifecycle.error-handler", "isolation.committed-rows-go")
SEVERAL = ("binding.two-apps", "binding.app-inside-app")
ONCE = (*SEVERAL, "lifecycle.request-ends")
# The words after the command, the checks, and a part of the output.
RIGHT: dict[str, tuple[str, tuple[str, ...], str]] = {
    "https_only": ("https_only:create_app", REQUESTS, ""),
    "json_response": ("json_response:create_app", REQUESTS, ""),
    "user_of_request": ("user_of_request:create_app", REQUESTS, ""),
    "csrf": ("csrf:create_app", REQUESTS, ""),
    "commits": ("commits:create_app", REQUESTS, ""),
    "server_name": ("server_name:create_app", REQUESTS, ""),
    "binds_audit": ("binds_audit:create_app", REQUESTS, ""),
    "env_at_import": ("env_at_import:create_app", ONCE, "apps: one at a time"),
    "one_shot": ("one_shot:create_app", ONCE, "apps: one at a time"),
    "once_app": ("once_app:app", ONCE, "apps: one per process"),
    "once_lazy": ("lazyshop:create_app", ONCE, "apps: one per process"),
    "env_or_nothing": ("env_or_nothing:app", ONCE, "the URI in DATABASE_URL"),
    "reads_argv": ("reads_argv:create_app", SEVERAL, ""),
    "string_create_all": ("string_create_all:create_app", SEVERAL, ""),
    "string_without_length": ("string_without_length:create_app", ("schema.own-tables",), ""),
    "compiles_datetime": ("compiles_datetime:create_app", ("portability.fractions",), ""),
    "settings_module": ("shop:create_app", SEVERAL, "made with the name of a config class"),
    "conftest_loaded": ("shop:create_app", ONCE, "apps: one at a time"),
    "session_property": (
        "session_property:create_app --session session_property:db.session",
        REQUESTS,
        "session_property:db.session",
    ),
    "session_later": ("session_later:create_app", REQUESTS[:1], "session session_later:db_session"),
    "session_later, named": (
        "session_later:create_app --session session_later:db_session",
        REQUESTS[:1],
        "session session_later:db_session",
    ),
    "two_sessions, named": ("two_sessions:create_app --session two_sessions:reading", REQUESTS[:1], ""),
}
REFUSED = {
    "login_required:create_app": "login_required.only_who_is_logged_in (login_required.py, line 20) answered",
    "two_sessions:create_app": "hold several sessions: two_sessions:writing, two_sessions:reading. Name",
    "hard_coded:app": "A URI is written in hard_coded.py, line 7. Read the variable DATABASE_URL there",
    "parts_of_uri:create_app": "The app looked up DB_USER, DB_PASSWORD, DB_HOST and DB_NAME, which got",
}
NO_LENGTH = "VARCHAR requires a length on dialect {name}. Give"
# The check, and the exit status and a part of the output on servers that resemble MySQL.
ON_MYSQL = {
    "string_create_all": ("lifecycle.request-ends", 4, NO_LENGTH),
    "string_without_length": ("schema.own-tables", 1, f"user.name cannot be created: {NO_LENGTH}"),
    "compiles_datetime": ("portability.fractions", 0, ""),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(APPS, tmp_path / "apps"))


@pytest.mark.parametrize("name", RIGHT)
def test_an_ordinary_app_has_no_failure(folder: Path, name: str) -> None:
    words, checks, part = RIGHT[name]
    own = folder / name if (folder / name).is_dir() else folder
    chosen = [word for check in checks for word in ("--check", check)]

    ran = run(own, *MODULE, *words.split(), "--backend", "sqlite", "--matrix", "matrix.json", *chosen)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert part in ran.stdout
    rows = json.loads((own / "matrix.json").read_text())["checks"]
    usual = {"passed"} if checks == REQUESTS else {"passed", "not applicable"}
    assert {row["results"]["sqlite"] for row in rows if row["id"] in checks} <= usual
    assert [*folder.rglob("*.db")] == []


@pytest.mark.parametrize("words", REFUSED)
def test_an_ordinary_app_that_cannot_be_tried_is_one_sentence(folder: Path, words: str) -> None:
    ran = run(folder, *MODULE, words, "--backend", "sqlite", "--check", REQUESTS[0])

    output = ran.stdout + ran.stderr
    assert ran.returncode == 4, output
    assert output.count(REFUSED[words]) == 1, output
    assert "Traceback" not in output
    assert "secret-password" not in output


@pytest.mark.testbed_needs("server")
@pytest.mark.parametrize("name", ON_MYSQL)
def test_tables_that_some_servers_refuse(
    folder: Path, project_here: Project, testbed_backend: Backend, name: str
) -> None:
    check, status, part = ON_MYSQL[name]
    code, text = testbed_backend.of({"postgresql": (0, ""), "mysql": (status, part)})
    words = ("--backend", testbed_backend.name, "--check", check)

    ran = run(folder, *MODULE, f"{name}:create_app", *words, **project_here.environment)

    output = ran.stdout + ran.stderr
    assert ran.returncode == code, output
    assert text.format(name=testbed_backend.name) in " ".join(output.split()), output
