from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.stack.stack import BACKENDS, SERVERS, Stack, eventually


@pytest.mark.parametrize("away", SERVERS)
def test_one_database_down_is_503_there_and_recovers_without_a_restart_of_the_app(
    stack: Stack, away: str
) -> None:
    app = stack.process("app")
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
    assert stack.process("app") == app


@pytest.mark.parametrize("away", SERVERS)
def test_the_app_starts_while_a_database_is_down(stack: Stack, away: str) -> None:
    stack.compose("stop", away, "app")
    stack.compose("up", "--wait", "app")

    refused = stack.ask("GET", f"/{away}/api/accounts")
    stack.compose("start", away)
    eventually(lambda: stack.is_ready(away))

    assert refused.status == 503


@pytest.mark.parametrize("frozen", SERVERS)
def test_requests_to_a_frozen_database_do_not_block_the_others(stack: Stack, frozen: str) -> None:
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


@pytest.mark.parametrize("service", ["app", *SERVERS])
def test_a_killed_main_process_restarts_with_its_data(
    stack: Stack, kill: Callable[[int], None], service: str
) -> None:
    accounts = {backend: stack.open_account(backend, "7") for backend in BACKENDS}
    others = {other: stack.process(other) for other in ("app", *SERVERS) if other != service}
    pid, _ = before = stack.process(service)

    kill(pid)
    eventually(lambda: stack.process(service) != before)
    eventually(lambda: all(stack.is_ready(backend) for backend in BACKENDS))
    eventually(lambda: stack.containers()[service]["State"]["Health"]["Status"] == "healthy")

    kept = {backend: stack.balance(backend, account) for backend, account in accounts.items()}
    assert kept == dict.fromkeys(BACKENDS, "7.00")
    assert {other: stack.process(other) for other in others} == others
