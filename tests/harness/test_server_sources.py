from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.engine import URL

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.servers.given import given_url, variable
from flask_sqlalchemy_testbed.servers.network import obtain
from flask_sqlalchemy_testbed.servers.readiness import ServerError, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.containers import Container
    from flask_sqlalchemy_testbed.servers.network import NetworkServer
    from tests.harness.projects import Project


SERVERS = [backend for backend in BACKENDS.values() if "server" in backend.capabilities]
ON_EACH = pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.name)


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Something that lets everybody in and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def uri(kind: Backend, port: int) -> URL:
    return URL.create(kind.drivername, "ada", "s3cr3t", "127.0.0.1", port, "testbed")


def test_without_docker_and_uri_the_run_ends_at_once_and_names_both_ways_out(project: Project) -> None:
    started = time.monotonic()
    outcome = project.run(
        "--testbed-backend", ",".join(kind.name for kind in SERVERS), DOCKER_HOST="unix:///nowhere.sock"
    )

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    lines = outcome.lines("ERROR: No server for ")
    assert len(lines) == len(SERVERS)
    for kind, line in zip(SERVERS, lines, strict=True):
        assert f"No server for {kind.name}: " in line
        assert "`make engine`" in line
        assert variable(kind) in line
    assert time.monotonic() - started < 10  # it takes under a second where nothing else runs


@pytest.mark.parametrize(
    "text", ["nonsense", "mysql://", "mysql://ada:p@ss@host:x/db", "postgresql://ada:s3cr3t@h/db"]
)
def test_a_malformed_uri_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TESTBED_MYSQL_URI", text)
    with pytest.raises(ServerError) as error:
        given_url(BACKENDS["mysql"])

    assert "mysql://user:password@host/database" in str(error.value)
    assert not any(secret in str(error.value) for secret in ("s3cr3t", "p@ss"))


@pytest.mark.parametrize(
    ("text", "drivername"), [("postgres", "postgresql+psycopg2"), ("postgresql+pg8000", "postgresql+pg8000")]
)
def test_a_uri_without_a_driver_means_the_one_installed(
    monkeypatch: pytest.MonkeyPatch, text: str, drivername: str
) -> None:
    monkeypatch.setenv("TESTBED_POSTGRESQL_URI", f"{text}://ada@host/db")
    given = given_url(BACKENDS["postgresql"])

    assert given is not None
    assert given[1].drivername == drivername


def test_a_uri_without_a_port_means_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_MYSQL_URI", "mysql://ada@host/db")
    given = given_url(BACKENDS["mysql"])

    assert given is not None
    assert given[1].port == 3306


def test_the_password_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p@s/s:%#?\n")
    monkeypatch.setenv("TESTBED_MYSQL_URI", "mysql://ada@host/db")
    monkeypatch.setenv("TESTBED_MYSQL_PASSWORD_FILE", str(tmp_path / "secret"))
    given = given_url(BACKENDS["mysql"])

    assert given is not None
    assert given[1].password == "p@s/s:%#?"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_password_file_that_holds_none_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("TESTBED_MYSQL_URI", "mysql://ada@host/db")
    monkeypatch.setenv("TESTBED_MYSQL_PASSWORD_FILE", str(path))

    with pytest.raises(ServerError, match=f"TESTBED_MYSQL_PASSWORD_FILE .*{path}"):
        given_url(BACKENDS["mysql"])


@ON_EACH
def test_a_server_that_is_not_there_is_given_up_in_time(kind: Backend, closed_port: int) -> None:
    with pytest.raises(
        ServerError, match=r"^\w+ \(here\) was not ready within 0.2 s: .*(refused|111)"
    ) as error:
        wait_until_ready(kind, uri(kind, closed_port), where="here", within=0.2)

    assert "\n" not in str(error.value)


def test_a_server_that_never_answers_is_given_up_in_time(silent_port: int) -> None:
    def error(kind: Backend) -> str:
        with pytest.raises(ServerError) as error:
            wait_until_ready(kind, uri(kind, silent_port), where="here", within=1)
        return str(error.value)

    started = time.monotonic()
    with ThreadPoolExecutor() as threads:
        errors = list(threads.map(error, SERVERS))

    assert all("was not ready within 1 s" in text for text in errors)
    assert time.monotonic() - started < 10


@ON_EACH
def test_a_host_that_does_not_exist_is_not_waited_for(kind: Backend) -> None:
    started = time.monotonic()
    with pytest.raises(ServerError, match="refuses"):
        wait_until_ready(kind, uri(kind, 1).set(host="nowhere.invalid"), where="here", within=60)

    assert time.monotonic() - started < 20


@pytest.mark.testbed_needs("server")
def test_a_wrong_password_is_told_at_once_and_not_repeated(testbed_server: NetworkServer) -> None:
    started = time.monotonic()
    with pytest.raises(ServerError, match=r"^\w+ \(here\) refuses the log-in of testbed: ") as error:
        wait_until_ready(
            testbed_server.backend, testbed_server.url.set(password="wr0ng"), where="here", within=60
        )

    assert "wr0ng" not in str(error.value)
    assert time.monotonic() - started < 10


@pytest.mark.testbed_needs("server")
def test_a_database_that_does_not_exist_is_told(testbed_server: NetworkServer) -> None:
    with pytest.raises(ServerError, match=r"refuses the log-in of testbed: .*testbed_gone"):
        wait_until_ready(
            testbed_server.backend, testbed_server.url.set(database="testbed_gone"), where="here", within=60
        )


@pytest.mark.testbed_needs("container")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("sleep", "60"), r"was not ready within [01](\.\d)? s: .*\S$"),
        (("sh", "-c", "echo broken >&2; exit 3"), r"ended before it was ready\. Its log ends: broken$"),
    ],
    ids=["sleeps", "ends"],
)
def test_a_container_that_never_gets_ready_is_told_and_removed(
    testbed_backend: Backend, pytestconfig: pytest.Config, command: tuple[str, ...], told: str
) -> None:
    started: list[Container] = []

    def start(backend: Backend) -> Container:
        started.append(state.run_of(pytestconfig).start_container(backend))
        return started[0]

    broken = replace(testbed_backend, recipe=replace(testbed_backend.recipe, command=command))  # type: ignore[type-var]
    with pytest.raises(ServerError, match=told) as error:
        obtain(broken, "testbed_never", start=start, within=1, stopped=Event())

    assert "\n" not in str(error.value)
    assert "No such container" in started[0].log(0)


def test_the_header_names_each_server_s_version_and_where_it_came_from(
    project_here: Project, pytestconfig: pytest.Config
) -> None:
    project_here.write("def test_it(database_uri): pass")
    outcome = project_here.run()

    servers = state.run_of(pytestconfig).servers
    assert outcome.code == 0
    for name in project_here.backends:
        (line,) = outcome.lines(f"{name}: ")
        assert line.startswith(f"{name}: {servers[name].version} (")
        assert line.endswith(f"({variable(BACKENDS[name])})") or " (files in " in line


@pytest.mark.testbed_needs("container")
def test_a_container_s_log_can_be_had_from_any_time_on(testbed_server: NetworkServer) -> None:
    assert "ready" in testbed_server.log(0)
    assert testbed_server.log(time.time() + 3600) == ""
