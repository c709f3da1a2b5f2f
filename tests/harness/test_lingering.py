"""A server of --testbed-linger serves the next runs, changed by none of them, and ends in its time."""

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from docker.errors import NotFound
from docker.models.containers import Container

from flask_sqlalchemy_testbed.backends.base import Backend, new_name
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.backends.replication import REPLICATION
from flask_sqlalchemy_testbed.databases import Database
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers import containers, found, images, lingering, names
from flask_sqlalchemy_testbed.servers.__main__ import main
from flask_sqlalchemy_testbed.servers.network import NetworkServer
from flask_sqlalchemy_testbed.servers.processes import ProcessId
from flask_sqlalchemy_testbed.servers.reaper import BACKEND_LABEL, LINGER_LABEL, STARTER_LABEL
from tests.harness.projects import Project, eventually, remove_kept
from tests.harness.test_ends import WAITING, WITHIN, ended_child, processes_of, run_in

pytestmark = pytest.mark.testbed_needs("container")

LONG, SHORT = 600, 2
# A busy machine may look later for clients than once a second, and takes a while to remove a container.
LATE = 10.0
# Changes of what all databases share: the statement, and the name of the change in the message.
CHANGES = {
    "postgresql": (
        ("CREATE ROLE another", "role another"),
        ("ALTER ROLE testbed SET work_mem = '9MB'", "setting of ROLE testbed: work_mem"),
        ("ALTER SYSTEM SET work_mem = '9MB'", "setting work_mem"),
        ("CREATE DATABASE another", "database another"),
    ),
    "mysql": (
        ("SET GLOBAL max_connections = 77", "variable max_connections"),
        ("CREATE DATABASE testbed_another", "database testbed_another"),
        (
            "GRANT CREATE TEMPORARY TABLES ON testbed_x.* TO testbed",
            "privilege CREATE TEMPORARY TABLES testbed_x",
        ),
    ),
}
PREPARED = {
    "postgresql": ("BEGIN", "CREATE TABLE t (x INTEGER)", "PREPARE TRANSACTION 'left'"),
    "mysql": (
        "CREATE TABLE t (x INTEGER)",
        "XA START 'left'",
        "INSERT INTO t VALUES (1)",
        "XA END 'left'",
        "XA PREPARE 'left'",
    ),
}
RELOAD = {"postgresql": "SELECT pg_reload_conf()", "mysql": "SELECT 1"}


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def start(
    testbed_backend: Backend, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """Return a function that starts a run.

    Only these runs use its lingering servers.
    """
    monkeypatch.setattr(lingering, "PREFIX", f"testbed-linger-{secrets.token_hex(6)}-")
    runs: list[Run] = []

    def start(linger: int = LONG, within: float = WITHIN) -> Run:
        run = Run(linger=linger, within=within, notify=messages.append)
        runs.append(run)
        run.start([testbed_backend])
        return run

    yield start
    for run in runs:
        run.close()
    client = images.connect(testbed_backend)
    names.remove(names.servers(client))
    client.close()


@pytest.fixture
def lingering_project(project_of_its_own: Project, testbed_backend: Backend) -> Project:
    """Return a project whose servers may linger, for one backend."""
    project_of_its_own.backends = [testbed_backend.name]
    project_of_its_own.environment |= {"BACKENDS": "1", "CI": ""}
    return project_of_its_own


def server_of(run: Run) -> NetworkServer:
    (server,) = run.servers.values()
    assert isinstance(server, NetworkServer)
    return server


def id_of(run: Run) -> str:
    container = server_of(run).container
    assert container is not None
    return container.id


def docker(run: Run) -> Container:
    server = server_of(run)
    return images.connect(server.backend).containers.get(id_of(run))


def administer(run: Run, *statements: str) -> None:
    for statement in statements:
        result = docker(run).exec_run([*REPLICATION[server_of(run).backend.name].superuser, statement])
        assert result.exit_code == 0, result.output


def database_of(run: Run) -> Database:
    return run.isolation(server_of(run)).database


def answers(run: Run) -> bool:
    return database_of(run).connection.rows("SELECT 1") == [(1,)]


def client_of(run: Run) -> Callable[[], Connection]:
    """Return a function that connects to the run's server as another client, also after the run."""
    url, options = database_of(run).url.set(database="testbed"), server_of(run).backend.connect_options

    def connect() -> Connection:
        connection = Connection(url, options=options)
        assert connection.rows("SELECT 1") == [(1,)]
        return connection

    return connect


def has_gone(backend: Backend, container: str) -> bool:
    try:
        images.connect(backend).containers.get(container)
    except NotFound:
        return True
    return False


def stays(backend: Backend, container: str) -> None:
    """Assert that the container is there for twice the time that it may linger."""
    until = time.monotonic() + 2 * SHORT
    while time.monotonic() < until:
        assert not has_gone(backend, container)
        time.sleep(0.1)


def names_of_databases(run: Run) -> list[str]:
    return [name for (name,) in database_of(run).connection.rows(server_of(run).backend.databases)]


def test_the_next_run_uses_it_without_the_databases_of_the_last(start: Callable[..., Run]) -> None:
    first = start()
    left, name = id_of(first), first.name
    first.isolation(server_of(first), "other")
    first.close()

    second = start()
    assert id_of(second) == left
    assert not [each for each in names_of_databases(second) if name in each]


def test_the_next_run_finds_it_without_the_docker_package(
    start: Callable[..., Run], testbed_backend: Backend
) -> None:
    first = start()

    again = found.find(testbed_backend, LONG)
    assert again is not None
    assert again.id == id_of(first)
    assert again.url() == server_of(first).url
    assert again.capabilities == docker_capabilities(first)


def docker_capabilities(run: Run) -> frozenset[str]:
    container = server_of(run).container
    assert container is not None
    return container.capabilities


@pytest.mark.any_backend
def test_two_runs_at_once_share_it(start: Callable[..., Run]) -> None:
    first, second = start(), start()

    assert id_of(first) == id_of(second)
    assert database_of(first).name != database_of(second).name
    first.close()
    assert answers(second)


@pytest.mark.any_backend
@pytest.mark.bad_day
def test_three_cold_runs_at_once_start_one_server(
    start: Callable[..., Run], testbed_backend: Backend
) -> None:
    with ThreadPoolExecutor(3) as threads:
        runs = [future.result() for future in [threads.submit(start) for _ in range(3)]]

    assert len({id_of(run) for run in runs}) == 1
    assert len(names.servers(images.connect(testbed_backend))) == 1


def test_it_ends_in_its_time_after_the_last_client(
    start: Callable[..., Run], testbed_backend: Backend
) -> None:
    run = start(SHORT)
    left = id_of(run)
    stays(testbed_backend, left)  # The run is a client.
    last = client_of(run)()
    run.close()  # It may take longer than the server lingers.
    last.close()
    began = time.monotonic()
    eventually(lambda: has_gone(testbed_backend, left))

    # Its clock counts whole seconds.
    assert SHORT - 1 <= time.monotonic() - began <= SHORT + LATE


@pytest.mark.any_backend
def test_a_busy_machine_takes_nothing_from_its_time(
    start: Callable[..., Run], testbed_backend: Backend
) -> None:
    run = start(SHORT)
    left, last, container = id_of(run), client_of(run)(), docker(run)
    run.close()
    stays(testbed_backend, left)  # It has seen this client: a new one counts as one that came and went.
    container.pause()
    time.sleep(2 * SHORT)  # Nothing in it gets the processor for as long.
    last.close()
    began = time.monotonic()
    container.unpause()
    eventually(lambda: has_gone(testbed_backend, left))

    assert time.monotonic() - began >= SHORT - 1


@pytest.mark.any_backend
def test_a_run_that_comes_and_goes_between_two_looks_counts(
    start: Callable[..., Run], testbed_backend: Backend
) -> None:
    run = start(SHORT)
    left, connect = id_of(run), client_of(run)
    connection = connect()
    run.close()  # It may take longer than the server lingers.
    connection.close()
    until = time.monotonic() + 3 * SHORT
    while time.monotonic() < until:
        connect().close()
        time.sleep(SHORT / 4)

    eventually(lambda: has_gone(testbed_backend, left))


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("number", "with_reaper", "seconds"),
    [
        (signal.SIGINT, False, SHORT + 1),
        (signal.SIGKILL, False, SHORT + 2),
        (signal.SIGKILL, True, SHORT + 3),
    ],
    ids=["Ctrl-C", "killed", "killed with its reaper"],
)
def test_a_run_that_is_ended_disturbs_no_other_and_leaves_nothing_past_the_time(
    lingering_project: Project, testbed_backend: Backend, number: int, seconds: int, *, with_reaper: bool
) -> None:
    def left() -> list[Container]:
        labels = [f"{LINGER_LABEL}={seconds}", f"{BACKEND_LABEL}={testbed_backend.name}"]
        with closing(images.connect(testbed_backend)) as client:
            return client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)

    lingering_project.write(WAITING)
    other = Run(linger=seconds, notify=lambda _: None)
    with lingering_project.start("--testbed-linger", str(seconds)) as process:
        with ended_child(lingering_project):
            name = run_in(lingering_project)
        other.start([testbed_backend])
        assert [container.id for container in left()] == [id_of(other)]
        for process_id in processes_of(name) if with_reaper else ():
            # The processes of the server name the run's database, too.
            if "reaper" in Path(f"/proc/{process_id}/cmdline").read_text(encoding="utf-8"):
                os.kill(process_id, signal.SIGKILL)
        os.killpg(process.pid, number)
        process.wait(WITHIN)
    eventually(lambda: not processes_of(name))  # The reaper has ended.
    with closing(images.connect(testbed_backend)) as client:
        containers.sweep(client)
    assert answers(other)
    other.close()
    began = time.monotonic()
    eventually(lambda: not left())

    assert time.monotonic() - began <= seconds + LATE


@pytest.mark.any_backend
def test_a_container_that_a_killed_run_has_not_started_is_replaced(
    start: Callable[..., Run], testbed_backend: Backend
) -> None:
    first = start()
    labels = {STARTER_LABEL: str(ProcessId(1, "ended", ProcessId.of(1).namespace)), LINGER_LABEL: str(LONG)}
    left = docker(first)
    first.close()
    left.kill()
    eventually(lambda: has_gone(testbed_backend, str(left.id)))
    with closing(images.connect(testbed_backend)) as client:
        created = client.containers.create(str(left.attrs["Image"]), name=left.name, labels=labels)

    assert id_of(start()) != created.id
    assert has_gone(testbed_backend, str(created.id))


def test_the_databases_of_a_killed_run_are_dropped(start: Callable[..., Run]) -> None:
    first, name = start(), new_name()
    server_of(first).create(f"{name}_other")
    killed = NetworkServer(server_of(first).backend, server_of(first).url, source="killed")
    killed.create(name)
    killed.disconnect()  # as the kernel does for a process that was killed

    second = start()
    assert name not in names_of_databases(second)
    assert f"{name}_other" in names_of_databases(second)
    assert answers(first)


def test_a_server_that_was_changed_is_replaced_and_left_to_the_run_that_uses_it(
    start: Callable[..., Run], testbed_backend: Backend, messages: list[str]
) -> None:
    for statement, change in testbed_backend.of(CHANGES):
        using = start()
        administer(using, statement, testbed_backend.of(RELOAD))

        next_run = start()
        assert id_of(next_run) != id_of(using), statement
        assert change.lower() in messages.pop().lower()
        assert messages == []
        assert answers(using)


def test_a_frozen_server_is_replaced_with_a_message(
    start: Callable[..., Run],
    testbed_backend: Backend,
    messages: list[str],
    request: pytest.FixtureRequest,
) -> None:
    engine = images.connect(testbed_backend).info()
    without_root = engine.get("Rootless") or "name=rootless" in engine["SecurityOptions"]
    if without_root and engine["CgroupVersion"] == "1":
        state.not_applicable(request.node, "without root, the engine pauses no container with cgroups v1")
    first = start()
    frozen = docker(first)
    first.close()
    frozen.pause()

    assert id_of(start(within=5)) != frozen.id
    assert f"replacing a lingering {testbed_backend.name} server" in messages[-1]
    assert has_gone(testbed_backend, str(frozen.id))


@pytest.mark.any_backend
def test_a_server_that_ends_during_the_run_is_said_to_have_ended(start: Callable[..., Run]) -> None:
    first, second = start(), start()
    docker(first).kill()

    for run in (first, second):
        assert "has ended" in server_of(run).outage()
        assert "cannot be read" in server_of(run).log(0)


def test_a_server_with_a_prepared_transaction_of_a_killed_run_is_replaced(
    start: Callable[..., Run], testbed_backend: Backend, messages: list[str]
) -> None:
    first, name = start(), new_name()
    killed = NetworkServer(testbed_backend, server_of(first).url, source="killed")
    killed.create(name)
    connection = Connection(killed.locate(name), options=testbed_backend.connect_options)
    connection.run(testbed_backend.of(PREPARED))
    connection.close()
    killed.disconnect()

    assert id_of(start()) != id_of(first)
    assert "replacing a lingering" in messages.pop()


@pytest.mark.any_backend
def test_other_servers_of_the_run_do_not_linger(start: Callable[..., Run], testbed_backend: Backend) -> None:
    run = start()
    own = run.start_container(testbed_backend)

    assert own.id != id_of(run)
    own.remove()
    assert has_gone(testbed_backend, own.id)
    assert answers(run)


@pytest.mark.any_backend
def test_a_kept_database_outlives_the_time(start: Callable[..., Run], testbed_backend: Backend) -> None:
    run = start(SHORT)
    kept, name = id_of(run), database_of(run).name
    lines = run.keep(testbed_backend.name, name)
    run.close()
    stays(testbed_backend, kept)

    assert id_of(start(SHORT)) != kept
    remove_kept("\n".join(lines))
    eventually(lambda: has_gone(testbed_backend, kept))


@pytest.mark.any_backend
def test_a_command_lists_and_removes_them(
    start: Callable[..., Run], testbed_backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    start().close()

    assert main(["list"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{lingering.PREFIX}{testbed_backend.name}-")
    assert line.endswith(f"ends {LONG} s after its last client.")
    assert main(["remove"]) == 0
    assert capsys.readouterr().out == f"Removed {line}\n"
    assert main(["list"]) == 0
    assert capsys.readouterr().out == "No server lingers.\n"


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("option", "environment", "kind"),
    [
        (("--testbed-linger", "1"), "", "lingering"),
        ((), "", "lingering"),
        (("--testbed-linger", "0"), "", "throwaway"),
        (("--testbed-linger", "1"), "true", "throwaway"),
    ],
)
def test_the_option_the_key_and_the_variable_ci_decide(
    lingering_project: Project, option: tuple[str, ...], environment: str, kind: str
) -> None:
    lingering_project.write("[pytest]\ntestbed_linger = 1\n", "pytest.ini")
    lingering_project.write("def test_it(database_uri): pass")

    assert f", {kind} container " in lingering_project.run(*option, CI=environment).text


@pytest.mark.any_backend
@pytest.mark.bad_day
@pytest.mark.parametrize("value", ["-1", "soon", "nan"])
def test_a_wrong_time_is_refused(lingering_project: Project, value: str) -> None:
    outcome = lingering_project.run(f"--testbed-linger={value}")

    assert f"--testbed-linger is {value!r}. Give a number of seconds, such as 30" in outcome.text
