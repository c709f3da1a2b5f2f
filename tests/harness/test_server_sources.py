"""A server comes from a URI in the environment or from a throwaway container; errors name the remedy."""

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
from flask_sqlalchemy_testbed.backends.drivers import Driver, MissingDriverError
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.given import given_url, variable
from flask_sqlalchemy_testbed.servers.network import server_in
from flask_sqlalchemy_testbed.servers.readiness import ServerError, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.network import NetworkServer
    from tests.harness.projects import Project


SERVERS = [backend for backend in BACKENDS.values() if "server" in backend.capabilities]
ON_EACH = pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.name)
MISSING = Driver("no_such_driver", "no-such-driver")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def uri(kind: Backend, port: int) -> URL:
    return URL.create(kind.drivername, "ada", "s3cr3t", "127.0.0.1", port, "testbed")


def test_without_docker_and_uri_the_run_fails_at_once_and_names_both_remedies(project: Project) -> None:
    started = time.monotonic()
    outcome = project.run(
        "--testbed-backend", ",".join(kind.name for kind in SERVERS), DOCKER_HOST="unix:///nowhere.sock"
    )

    assert outcome.code == pytest.ExitCode.USAGE_ERROR
    lines = outcome.lines("ERROR: No server for ")
    assert len(lines) == len(SERVERS)
    for kind, line in zip(SERVERS, lines, strict=True):
        assert f"No server for {kind.name}: " in line
        assert "Start Docker (`make engine` installs it)" in line
        assert variable(kind) in line
    assert time.monotonic() - started < 10  # it takes less than a second on an idle machine


@ON_EACH
def test_a_missing_driver_is_reported_before_docker_is_used(
    kind: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable(kind), raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")

    remedy = rf"no-such-driver.* pip install 'flask-sqlalchemy-testbed\[{kind.name}\]'\.$"
    with pytest.raises(ServerError, match=remedy):
        Run().start([replace(kind, drivers=(MISSING,))])


def test_the_first_installed_driver_is_used() -> None:
    installed = [Driver("json", ""), Driver("csv", "")]

    assert replace(SERVERS[0], drivers=(MISSING, *installed)).drivername == f"{SERVERS[0].name}+json"
    with pytest.raises(MissingDriverError):
        _ = replace(SERVERS[0], drivers=(MISSING,)).drivername


@pytest.mark.parametrize(
    "text", ["nonsense", "mysql://", "mysql://ada:p@ss@host:x/db", "postgresql://ada:s3cr3t@h/db"]
)
def test_the_error_for_a_malformed_uri_does_not_contain_its_password(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("TESTBED_MYSQL_URI", text)
    with pytest.raises(ServerError) as error:
        given_url(BACKENDS["mysql"])

    assert "mysql://user:password@host/database" in str(error.value)
    assert not any(secret in str(error.value) for secret in ("s3cr3t", "p@ss"))


def test_a_uri_may_name_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = BACKENDS["postgresql"]
    with_driver = replace(kind, drivers=(MISSING,))
    monkeypatch.setenv("TESTBED_POSTGRESQL_URI", f"{kind.drivername}://ada@host/db")
    given = given_url(with_driver)

    assert given is not None
    assert given[1].drivername == kind.drivername


@pytest.mark.parametrize("driver", ["no_such_driver", "pg8000"])
def test_a_uri_whose_driver_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    monkeypatch.setenv("TESTBED_POSTGRESQL_URI", f"postgresql+{driver}://ada@host/db")

    with pytest.raises(ServerError, match=f"names a driver that cannot be imported: .*{driver}"):
        given_url(BACKENDS["postgresql"])


def test_a_uri_without_driver_and_port_means_the_installed_driver_and_the_usual_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TESTBED_POSTGRESQL_URI", "postgres://ada@host/db")
    given = given_url(BACKENDS["postgresql"])

    assert given is not None
    assert given[1].drivername == BACKENDS["postgresql"].drivername
    assert given[1].port == 5432


def test_the_password_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("p@s/s:%#?\n")
    monkeypatch.setenv("TESTBED_MYSQL_URI", "mysql://ada@host/db")
    monkeypatch.setenv("TESTBED_MYSQL_PASSWORD_FILE", str(tmp_path / "secret"))
    given = given_url(BACKENDS["mysql"])

    assert given is not None
    assert given[1].password == "p@s/s:%#?"


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_password_file_without_a_password_is_refused(
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
def test_waiting_for_a_server_that_is_not_there_ends_in_time(kind: Backend, closed_port: int) -> None:
    with pytest.raises(
        ServerError, match=r"^\w+ \(here\) was not ready within 0.2 s: .*(refused|111)"
    ) as error:
        wait_until_ready(kind, uri(kind, closed_port), where="here", within=0.2)

    assert "\n" not in str(error.value)


def test_waiting_for_a_server_that_never_answers_ends_in_time(silent_port: int) -> None:
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
def test_an_unknown_host_is_an_error_at_once(kind: Backend) -> None:
    started = time.monotonic()
    with pytest.raises(ServerError, match="refuses"):
        wait_until_ready(kind, uri(kind, 1).set(host="nowhere.invalid"), where="here", within=60)

    assert time.monotonic() - started < 20


@pytest.mark.testbed_needs("server")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_wrong_password_is_an_error_at_once_that_does_not_contain_it(
    testbed_server: NetworkServer, host: str
) -> None:
    if testbed_server.url.host != "127.0.0.1":
        host = testbed_server.url.host or ""
    url = testbed_server.url.set(password="wr0ng", host=host)
    started = time.monotonic()
    with pytest.raises(ServerError, match=r"^\w+ \(here\) refuses the log-in of \w+: ") as error:
        wait_until_ready(testbed_server.backend, url, where="here", within=60)

    assert "wr0ng" not in str(error.value)
    assert "\n" not in str(error.value)
    assert time.monotonic() - started < 10


@pytest.mark.testbed_needs("server")
def test_a_database_that_does_not_exist_is_an_error_at_once(testbed_server: NetworkServer) -> None:
    url = testbed_server.url.set(database="testbed_gone")
    with pytest.raises(ServerError, match=r"refuses the log-in of \w+: .*testbed_gone"):
        wait_until_ready(testbed_server.backend, url, where="here", within=60)


@pytest.mark.testbed_needs("container")
@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("sleep", "60"), r"was not ready within 1 s: .*\S$"),
        (("sh", "-c", "echo broken >&2; exit 3"), r"ended before it was ready\. Its log ends: broken$"),
    ],
    ids=["sleeps", "ends"],
)
def test_a_container_that_does_not_get_ready_is_removed_and_the_error_says_why(
    testbed_backend: Backend, pytestconfig: pytest.Config, command: tuple[str, ...], reason: str
) -> None:
    assert testbed_backend.recipe is not None
    broken = replace(testbed_backend, recipe=replace(testbed_backend.recipe, command=command))
    container = state.run_of(pytestconfig).start_container(broken)
    with pytest.raises(ServerError, match=reason) as error:
        server_in(container, broken, "testbed_never", within=1, cancelled=Event())

    assert "\n" not in str(error.value)
    assert "No such container" in container.log(0)


@pytest.mark.testbed_needs("container")
def test_waiting_for_a_container_ends_when_it_is_cancelled(
    testbed_backend: Backend, pytestconfig: pytest.Config
) -> None:
    assert testbed_backend.recipe is not None
    slow = replace(testbed_backend, recipe=replace(testbed_backend.recipe, command=("sleep", "60")))
    container = state.run_of(pytestconfig).start_container(slow)
    cancelled = Event()
    cancelled.set()

    with pytest.raises(ServerError, match="startup was cancelled"):
        server_in(container, slow, "testbed_never", within=60, cancelled=cancelled)


def test_the_header_names_the_version_and_the_source_of_each_server(
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
def test_the_log_of_a_container_can_be_read_from_any_time_on(testbed_server: NetworkServer) -> None:
    assert "ready" in testbed_server.log(0)
    assert testbed_server.log(time.time() + 3600) == ""
