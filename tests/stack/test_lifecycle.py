import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.stack.stack import BACKENDS, SERVERS, Stack, composed

UP_SECONDS = 15
DOWN_SECONDS = 3
TIMES = 3  # a busy machine may delay one of them


def test_data_survives_down_and_up(stack: Stack, report_figure: Callable[[str], None]) -> None:
    for backend in BACKENDS:
        ada, bob = stack.open_account(backend, "5"), stack.open_account(backend, "0")
        stack.transfer(backend, ada, bob, "3")
    before = all_rows(stack)

    for _ in range(TIMES):
        down, up = down_and_up(stack)
        if down <= DOWN_SECONDS and up <= UP_SECONDS:
            break

    report_figure(f"docker compose down: {down:.1f} s; up --build --wait, to healthy: {up:.1f} s")
    assert all_rows(stack) == before
    assert down <= DOWN_SECONDS
    assert up <= UP_SECONDS


@pytest.mark.bad_day
def test_a_stack_starts_empty_after_its_volumes_were_removed(stack: Stack) -> None:
    stack.open_account("postgresql", "5")

    stack.compose("down", "--volumes")
    stack.up()

    assert [stack.items(backend, "accounts") for backend in BACKENDS] == [[], [], []]


def test_all_services_stop_on_request(stack: Stack) -> None:
    stack.compose("stop")
    codes = {service: container["State"]["ExitCode"] for service, container in stack.containers().items()}
    stack.up()

    assert codes == {"app": 0, "postgresql": 0, "mysql": 0, "passwords": 0}


def test_plain_up_starts_no_tests(stack: Stack) -> None:
    assert set(stack.containers()) == {"app", *SERVERS, "passwords"}


@pytest.mark.parametrize("server", SERVERS)
def test_one_server_and_the_app_start_without_the_other_server(server: str) -> None:
    (other,) = set(SERVERS) - {server}

    with composed(server, "app") as part:
        assert set(part.containers()) == {"app", server, "passwords"}
        assert [part.is_ready(backend) for backend in ("sqlite", server, other)] == [True, True, False]


def test_versions_are_chosen_by_the_environment() -> None:
    asked = {
        "POSTGRESQL_IMAGE": "postgres:15",
        "MYSQL_IMAGE": "mysql:8.4",
        "PYTHON_IMAGE": "python:3.12-slim",
    }
    config = Stack(environment=asked).compose("config", "--format", "json")

    assert all(f'"{image}"' in config for image in asked.values())


def down_and_up(stack: Stack) -> tuple[float, float]:
    """Return the seconds that `down` and `up` take."""
    begun = time.monotonic()
    stack.compose("down")
    down = time.monotonic()
    stack.up()
    return down - begun, time.monotonic() - down


def all_rows(stack: Stack) -> dict[tuple[str, str], list[dict[str, Any]]]:
    lists = [(backend, kind) for backend in BACKENDS for kind in ("accounts", "transfers")]
    return {each: stack.items(*each) for each in lists}
