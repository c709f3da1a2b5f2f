"""A server of --testbed-keep-servers serves the next run, and a command removes it."""

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers import containers, images
from flask_sqlalchemy_testbed.servers.__main__ import main
from flask_sqlalchemy_testbed.servers.network import NetworkServer

pytestmark = pytest.mark.testbed_needs("container")


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def start(
    testbed_backend: Backend, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Run]]:
    """Return a function that starts a run.

    Only these runs use its reusable containers.
    """
    monkeypatch.setattr(containers, "REUSE_LABEL", f"testbed.reuse.{secrets.token_hex(6)}")
    runs: list[Run] = []

    def start() -> Run:
        run = Run(keep_servers=True, notify=messages.append)
        runs.append(run)
        run.start([testbed_backend])
        return run

    yield start
    for run in runs:
        run.close()
    containers.remove_reusable(images.connect(testbed_backend))


def id_of(run: Run, backend: Backend) -> str:
    server = run.server(backend)
    assert isinstance(server, NetworkServer)
    assert server.container is not None
    return server.container.id


def test_the_next_run_uses_it_without_the_databases_of_the_last(
    start: Callable[[], Run], testbed_backend: Backend
) -> None:
    first = start()
    kept, name = id_of(first, testbed_backend), first.name
    first.isolation(first.server(testbed_backend), "other")
    first.close()

    second = start()
    database = second.isolation(second.server(testbed_backend)).database
    assert id_of(second, testbed_backend) == kept
    assert not [found for (found,) in database.connection.rows(testbed_backend.databases) if name in found]


def test_two_runs_at_once_share_it(start: Callable[[], Run], testbed_backend: Backend) -> None:
    first, second = start(), start()
    databases = [run.isolation(run.server(testbed_backend)).database for run in (first, second)]

    assert id_of(first, testbed_backend) == id_of(second, testbed_backend)
    assert databases[0].name != databases[1].name
    first.close()
    assert databases[1].connection.rows("SELECT 1") == [(1,)]


@pytest.mark.bad_day
def test_three_cold_runs_at_once_start_one_server(start: Callable[[], Run], testbed_backend: Backend) -> None:
    with ThreadPoolExecutor(3) as threads:
        runs = [future.result() for future in [threads.submit(start) for _ in range(3)]]

    assert len({id_of(run, testbed_backend) for run in runs}) == 1
    assert len(containers.remove_reusable(images.connect(testbed_backend))) == 1


def test_a_server_that_does_not_answer_is_replaced_with_a_message(
    start: Callable[[], Run], testbed_backend: Backend, messages: list[str]
) -> None:
    first = start()
    kept = id_of(first, testbed_backend)
    first.close()
    images.connect(testbed_backend).containers.get(kept).kill()

    assert id_of(start(), testbed_backend) != kept
    assert any(f"replacing a reusable {testbed_backend.name} server" in line for line in messages)


def test_a_server_with_other_arguments_gets_a_container_of_its_own(
    start: Callable[[], Run], testbed_backend: Backend
) -> None:
    run = start()
    other = run.start_container(testbed_backend, size=1 << 30, reusable=True)

    assert other.id != id_of(run, testbed_backend)


def test_a_command_removes_them(
    start: Callable[[], Run], testbed_backend: Backend, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start()
    kept = id_of(run, testbed_backend)
    run.close()

    assert main(["remove"]) == 0
    assert capsys.readouterr().out == f"Removed {testbed_backend.name} {kept[:12]}.\n"
    assert main(["remove"]) == 0
    assert capsys.readouterr().out == "There are no servers to remove.\n"
