"""A server comes from a URI in the environment or from a throwaway container.

Errors name the remedy.
"""

import re
import socket
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker import APIClient
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from testcontainers.core.config import ConnectionMode, testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.base import Backend, Condition
from flask_sqlalchemy_testbed.backends.drivers import Driver, MissingDriverError
from flask_sqlalchemy_testbed.backends.postgresql import POSTGRESQL
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.containers import Container, host_to_publish_on
from flask_sqlalchemy_testbed.servers.given import given_url, variable
from flask_sqlalchemy_testbed.servers.network import NetworkServer, Server, server_in
from flask_sqlalchemy_testbed.servers.readiness import ServerError, wait_until_ready
from flask_sqlalchemy_testbed.servers.sharing import borrow, lend
from tests.harness.projects import Project, eventually

SERVERS = [backend for backend in BACKENDS.values() if "server" in backend.capabilities]
ON_EACH = pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.name)
MISSING = Driver("no_such_driver", "no-such-driver")


def uri(kind: Backend, port: int) -> URL:
    return URL.create(kind.drivername, "ada", "s3cr3t", "127.0.0.1", port, "testbed")


def given(backend: str, text: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> URL:
    """Return the URL of the server that the environment gives."""
    kind = replace(BACKENDS[backend], **changes)
    monkeypatch.setenv(variable(kind), text)
    found = given_url(kind)
    assert found is not None
    return found[1]


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
        assert "Start Docker" in line
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
    with pytest.raises(ServerError, match=r"mysql://user:password@host/database") as error:
        given("mysql", text, monkeypatch)

    assert not any(secret in str(error.value) for secret in ("s3cr3t", "p@ss"))


def test_a_uri_may_name_driver_and_port(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = BACKENDS["postgresql"].drivername

    named = given("postgresql", f"{usual}://ada@host:1/db", monkeypatch, drivers=(MISSING,))
    plain = given("postgresql", "postgres://ada@host/db", monkeypatch)

    assert (named.drivername, named.port) == (usual, 1)
    assert (plain.drivername, plain.port) == (usual, 5432)


@pytest.mark.parametrize("driver", ["no_such_driver", "pg8000"])
def test_a_uri_whose_driver_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch, driver: str) -> None:
    with pytest.raises(ServerError, match=f"names a driver that cannot be imported: .*{driver}"):
        given("postgresql", f"postgresql+{driver}://ada@host/db", monkeypatch)


@pytest.mark.parametrize(
    ("content", "password"), [("p@s/s:%#?\n", "p@s/s:%#?"), (None, ""), ("", ""), ("\n", "")]
)
def test_the_password_may_be_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, password: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("TESTBED_MYSQL_PASSWORD_FILE", str(path))

    if password:
        assert given("mysql", "mysql://ada@host/db", monkeypatch).password == password
    else:
        with pytest.raises(ServerError, match=f"TESTBED_MYSQL_PASSWORD_FILE .*{path}"):
            given("mysql", "mysql://ada@host/db", monkeypatch)


@ON_EACH
def test_waiting_for_a_server_ends_in_time(kind: Backend) -> None:
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # It accepts connections and never answers.
        port = silent.getsockname()[1]
        with pytest.raises(ServerError, match=r"was not ready within 0.2 s"):
            wait_until_ready(kind, uri(kind, port), where="here", within=0.2)
    with pytest.raises(
        ServerError,
        match=r"^\w+ \(here\) was not ready within 0.2 s: .*(refused|111)[^\n]*\. Start it, or correct its",
    ):
        wait_until_ready(kind, uri(kind, port), where="here", within=0.2)
    assert time.monotonic() - started < 10


@ON_EACH
def test_an_unknown_host_is_an_error_at_once(kind: Backend) -> None:
    started = time.monotonic()
    with pytest.raises(ServerError, match=r"the host nowhere\.invalid has no address\. Correct its name\."):
        wait_until_ready(kind, uri(kind, 1).set(host="nowhere.invalid"), where="here", within=60)

    assert time.monotonic() - started < 20


@pytest.mark.testbed_needs("server")
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"password": "wr0ng"}, ""),
        ({"password": "wr0ng", "host": "localhost"}, ""),
        ({"database": "testbed_gone"}, "testbed_gone"),
    ],
)
def test_a_refused_log_in_is_an_error_at_once_without_the_password(
    testbed_server: NetworkServer, wrong: dict[str, Any], reason: str
) -> None:
    if testbed_server.url.host != "127.0.0.1":
        wrong = {part: value for part, value in wrong.items() if part != "host"}
    url, started = testbed_server.url.set(**wrong), time.monotonic()
    with pytest.raises(
        ServerError, match=rf"^\w+ \(here\) refuses the log-in of \w+: .*{reason}.*[^.]\. Correct"
    ) as error:
        wait_until_ready(testbed_server.backend, url, where="here", within=60)

    assert "wr0ng" not in str(error.value)
    assert "\n" not in str(error.value)
    assert time.monotonic() - started < 10


@pytest.mark.testbed_needs("container")
@pytest.mark.parametrize(
    ("command", "cancel", "reason"),
    [
        (("sleep", "60"), False, r"was not ready within 1 s: .*\S$"),
        (("sleep", "60"), True, r"startup was cancelled"),
        (("sh", "-c", "echo broken >&2; exit 3"), False, r"ended before .*\. Its log ends: broken$"),
    ],
    ids=["sleeps", "is cancelled", "ends"],
)
def test_a_container_that_does_not_get_ready_is_removed_and_the_error_says_why(
    testbed_backend: Backend,
    pytestconfig: pytest.Config,
    command: tuple[str, ...],
    reason: str,
    *,
    cancel: bool,
) -> None:
    assert testbed_backend.recipe is not None
    broken = replace(testbed_backend, recipe=replace(testbed_backend.recipe, command=command))
    container = state.run_of(pytestconfig).start_container(broken)
    cancelled = Event()
    if cancel:
        cancelled.set()
    with pytest.raises(ServerError, match=reason) as error:
        server_in(container, broken, "testbed_never", within=1, cancelled=cancelled)

    assert "\n" not in str(error.value)
    assert "no such container" in container.log(0).lower()


def test_the_header_names_the_version_and_the_source_of_each_server(
    project_here: Project, pytestconfig: pytest.Config
) -> None:
    project_here.write("def test_it(database_uri): pass")
    outcome = project_here.run()

    servers = state.run_of(pytestconfig).servers
    assert outcome.code == 0
    for name in project_here.backends:
        (line,) = outcome.lines(f"{name}: ")
        url = servers[name].url
        driver = f" with {url.get_driver_name()}" if url is not None else ""
        assert line.startswith(f"{name}: {servers[name].version}{driver} (")
        assert line.endswith(f"({variable(BACKENDS[name])})") or " (files in " in line


@pytest.mark.testbed_needs("container")
def test_the_log_of_a_container_can_be_read_from_any_time_on(testbed_server: NetworkServer) -> None:
    assert "ready" in testbed_server.log(0)
    assert testbed_server.log(time.time() + 3600) == ""


def container_of(server: NetworkServer) -> Container:
    """Return the container of a server, also if another process has started it."""
    assert server.container
    assert server.backend.recipe
    started = DockerContainer("")
    found = started.get_docker_client().client.containers.get(server.container.id)
    started._container = found  # noqa: SLF001 - it cannot adopt one
    return Container(server.backend, server.backend.recipe, started, "")


@pytest.mark.bad_day
@pytest.mark.testbed_needs("container")
def test_a_container_is_reached_on_an_engine_that_lists_no_settings_as_podman(
    testbed_server: NetworkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, lists = container_of(testbed_server), APIClient.containers

    def without_settings(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        return [{**each, "HostConfig": {}} for each in lists(*arguments, **options)]

    monkeypatch.setattr(APIClient, "containers", without_settings)
    # As in a container, where testcontainers would read them.
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.gateway_ip)

    assert container.url().port == testbed_server.url.port


@pytest.mark.bad_day
@pytest.mark.testbed_needs("container")
def test_an_engine_that_gives_containers_no_address_is_one_sentence(
    testbed_server: NetworkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    container, answer = container_of(testbed_server), APIClient.inspect_container

    def without_networks(*arguments: Any, **options: Any) -> dict[str, Any]:
        return {**answer(*arguments, **options), "NetworkSettings": {"Networks": {}, "Ports": {}}}

    monkeypatch.setattr(APIClient, "inspect_container", without_networks)
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.bridge_ip)

    assert "routed" not in container.capabilities
    with pytest.raises(
        ServerError, match=r"^\w+: the engine names no IPAddress of its container\. Use another"
    ):
        container.url()


@pytest.mark.bad_day
@pytest.mark.testbed_needs("container")
def test_the_log_leaves_out_sessions_that_were_terminated(
    testbed_server: NetworkServer, testbed_database: Database
) -> None:
    began, ends = time.time(), testbed_server.backend.log_of_termination
    engine = create_engine(testbed_database.uri)
    with engine.connect() as connection:
        testbed_database.terminate(testbed_database.sessions())
        connection.invalidate()
    engine.dispose()

    container = testbed_server.container
    assert container is not None
    assert not ends or eventually(lambda: re.search(ends, container.log(began)))
    assert "terminat" not in testbed_server.log(began)


@pytest.mark.bad_day
def test_the_statement_of_a_terminated_session_is_left_out_with_it() -> None:
    lines = (
        "[7] FATAL:  terminating connection due to administrator command\n"
        "[7] STATEMENT:  SELECT\n\t pg_sleep(9)\n"
        "[8] ERROR:  division by zero\n"
        "[8] STATEMENT:  SELECT 1/0\n"
        "[9] FATAL:  terminating connection due to idle-session timeout\n"
        "[9] FATAL:  terminating connection due to administrator command"
    )

    assert re.sub(POSTGRESQL.log_of_termination, "", lines).splitlines() == lines.splitlines()[3:6]


def test_a_server_for_another_process_has_its_capabilities_and_hides_its_password(
    testbed_server: Server,
) -> None:
    loan = lend(testbed_server)
    with closing(borrow(loan)) as borrowed:
        assert borrowed.capabilities == testbed_server.capabilities
    assert "uri=" not in repr(loan)


@pytest.mark.bad_day
@pytest.mark.testbed_needs("server")
def test_a_server_that_does_not_meet_a_condition_lacks_the_capability(testbed_server: Server) -> None:
    conditions = {
        "server": Condition("SELECT 1", ""),
        "glass": Condition("SELECT 1 WHERE 1 = 0", "it is too old"),
    }
    known = testbed_server.backend
    backend = replace(known, capabilities=known.capabilities | {"glass"}, conditions=conditions)
    assert testbed_server.url is not None

    server = NetworkServer(backend, testbed_server.url, source="")
    server.disconnect()

    assert server.capabilities >= known.capabilities - {"glass"}
    assert (
        backend.lacks(["server", "glass"], server.capabilities) == f"{known.name} lacks glass: it is too old"
    )


@pytest.mark.bad_day
@pytest.mark.testbed_needs("routed")
def test_a_server_beside_the_container_of_the_run_listens_on_the_loopback_address(
    project: Project, testbed_backend: Backend
) -> None:
    project.backends = [testbed_backend.name]
    project.write(
        """
        import docker

        def test_it(testbed_server, database_uri):
            client = docker.from_env()
            published = client.containers.get(testbed_server.container.id).ports.values()
            client.close()
            assert {one["HostIp"] for ports in published for one in ports or ()} == {"127.0.0.1"}
        """
    )

    outcome = project.run(TESTCONTAINERS_CONNECTION_MODE="bridge_ip")

    assert outcome.code == 0, outcome.text


@pytest.mark.bad_day
@pytest.mark.any_backend
@pytest.mark.parametrize("named", [{}, {"Gateway": "172.17.0.1"}], ids=["a new bridge", "a bridge"])
def test_a_server_for_a_run_in_a_container_listens_on_the_gateway_alone(
    monkeypatch: pytest.MonkeyPatch, named: dict[str, str]
) -> None:
    attributes = {"IPAM": {"Config": [{"Subnet": "172.17.0.0/16", **named}]}}
    networks = SimpleNamespace(get=lambda _: SimpleNamespace(attrs=attributes))
    monkeypatch.setattr(DockerClient, "client", SimpleNamespace(networks=networks), raising=False)
    monkeypatch.setattr(DockerClient, "__init__", lambda _: None)
    monkeypatch.setattr(testcontainers_config, "connection_mode_override", ConnectionMode.gateway_ip)

    assert host_to_publish_on(DockerClient(), "bridge") == "172.17.0.1"


@pytest.mark.testbed_needs("server")
def test_the_header_names_the_driver_that_is_chosen_for_the_app(
    testbed_backend: Backend, pytestconfig: pytest.Config
) -> None:
    stash = pytest.Stash()
    stash[state.RUN] = state.run_of(pytestconfig)
    stash[state.DRIVERS] = {testbed_backend.name: "another"}
    config = cast("pytest.Config", SimpleNamespace(stash=stash))

    (line,) = (line for line in state.new_servers(config) if line.startswith(f"{testbed_backend.name}: "))

    assert " with another (" in line
