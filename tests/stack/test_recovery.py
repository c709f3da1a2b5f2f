from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stack.conftest import Stack

    Eventually = Callable[[Callable[[], object]], None]

BACKENDS = ("sqlite", "postgresql", "mysql")


@pytest.mark.parametrize("away", ["postgresql", "mysql"])
def test_one_database_away_is_503_there_and_heals_without_a_restart_of_the_app(
    stack: Stack, eventually: Eventually, away: str
) -> None:
    app = process(stack, "app")
    kept = stack.open_account(away, "7")

    stack.compose("kill", away)
    refused = stack.ask("GET", f"/{away}/api/accounts")
    others = [stack.is_ready(backend) for backend in BACKENDS if backend != away]
    stack.compose("start", away)
    eventually(lambda: stack.is_ready(away))

    assert refused.status == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert others == [True, True]
    assert stack.balance(away, kept) == "7.00"
    assert process(stack, "app") == app


@pytest.mark.parametrize("away", ["postgresql", "mysql"])
def test_the_app_starts_while_a_database_is_away(stack: Stack, eventually: Eventually, away: str) -> None:
    stack.compose("stop", away, "app")
    stack.compose("up", "--wait", "--no-deps", "app")

    refused = stack.ask("GET", f"/{away}/api/accounts")
    stack.compose("start", away)
    eventually(lambda: stack.is_ready(away))

    assert refused.status == 503


@pytest.mark.parametrize("frozen", ["postgresql", "mysql"])
def test_requests_to_a_frozen_database_do_not_hold_up_the_others(stack: Stack, frozen: str) -> None:
    others = [backend for backend in BACKENDS if backend != frozen] * 20

    stack.compose("pause", frozen)
    with ThreadPoolExecutor(100) as clients:
        try:
            waiting = [clients.submit(stack.is_ready, frozen) for _ in range(100)]
            answers = [stack.is_ready(backend) for backend in others]
            answered = [request for request in waiting if request.done()]
        finally:
            stack.compose("unpause", frozen)

    assert all(answers)
    assert not answered


@pytest.mark.parametrize("service", ["app", "postgresql", "mysql"])
def test_a_killed_main_process_comes_back_with_its_data(
    stack: Stack, eventually: Eventually, service: str
) -> None:
    accounts = {backend: stack.open_account(backend, "7") for backend in BACKENDS}
    pid, _ = before = process(stack, service)

    kill_from_outside(stack, pid)
    eventually(lambda: process(stack, service) != before)
    eventually(lambda: all(stack.is_ready(backend) for backend in BACKENDS))

    assert {backend: stack.balance(backend, kept) for backend, kept in accounts.items()} == dict.fromkeys(
        BACKENDS, "7.00"
    )


def test_data_outlives_down_and_up(stack: Stack) -> None:
    for backend in BACKENDS:
        ada, bob = stack.open_account(backend, "5"), stack.open_account(backend, "0")
        stack.transfer(backend, ada, bob, "3")
    before = everything(stack)

    stack.compose("down")
    stack.up()

    assert everything(stack) == before


def test_all_parts_stop_when_they_are_asked_to(stack: Stack) -> None:
    stack.compose("stop")
    codes = {service: container["State"]["ExitCode"] for service, container in stack.containers().items()}
    stack.up()

    assert codes == {"app": 0, "postgresql": 0, "mysql": 0, "passwords": 0}


def process(stack: Stack, service: str) -> tuple[int, str]:
    state = stack.containers()[service]["State"]
    return state["Pid"], state["StartedAt"]


def everything(stack: Stack) -> dict[str, Any]:
    lists = [f"/{backend}/api/{what}" for backend in BACKENDS for what in ("accounts", "transfers")]
    return {path: stack.ask("GET", f"{path}?per_page=100").json for path in lists}


def kill_from_outside(stack: Stack, pid: int) -> None:
    """Send SIGKILL from the engine's own processes: inside, a main process is immune to it, and the
    engine's `kill` counts as a wish to stop.
    """
    outside = ["--pid", "host", "--user", "0", "--cap-drop", "ALL", "--cap-add", "KILL", "--network", "none"]
    kill = "import os, sys; os.kill(int(sys.argv[1]), 9)"
    stack.docker("run", "--rm", *outside, f"{stack.project}-app", "python", "-c", kill, str(pid))
