"""Acknowledged transfers are stored once, although processes were killed.

The end of the run shows figures.
"""

import json
import shlex
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

import pytest

from tests.stack.clients import CLIENTS, Attempt, Clients
from tests.stack.stack import BACKENDS, SERVERS, Stack, eventually

KILLS = 10

# Docker restarts a container after 0.1 s if it ran for at least this long; otherwise the delay doubles.
LONG_LIFE = 10.5

DURABLE = {
    "sqlite": {"PRAGMA journal_mode": "wal", "PRAGMA synchronous": "2"},
    "postgresql": {"SHOW fsync": "on", "SHOW synchronous_commit": "on", "SHOW full_page_writes": "on"},
    "mysql": {
        "SELECT @@innodb_flush_log_at_trx_commit": "1",
        "SELECT @@innodb_doublewrite": "ON",
        "SELECT @@innodb_flush_method IN ('fsync', 'O_DIRECT')": "1",
        "SELECT @@log_bin = 0 OR @@sync_binlog = 1": "1",
    },
}

# Through the app's engine: its connections may have other settings than the server.
PROGRAM = """
import json, sys
from app import create_app
from app.database import get_engine
config, *questions = sys.argv[1:]
with create_app(config).app_context(), get_engine().connect() as connection:
    answers = {question: str(connection.exec_driver_sql(question).scalar()) for question in questions}
print(json.dumps(answers))
"""


class Kill(NamedTuple):
    """The moments before and after the signal was sent."""

    before: float
    after: float


@pytest.mark.parametrize("backend", BACKENDS)
def test_commits_are_written_to_the_disk(stack: Stack, backend: str) -> None:
    questions = shlex.join(["python", "-c", PROGRAM, f"app/config/{backend}.cfg", *DURABLE[backend]])

    assert json.loads(stack.execute("app", questions)) == DURABLE[backend]


def test_killed_servers_keep_every_acknowledged_transfer(
    stack: Stack, kill: Callable[[int], None], report_figure: Callable[[str], None]
) -> None:
    all_clients = {backend: start_clients(stack, backend) for backend in SERVERS}

    with ExitStack() as work, ThreadPoolExecutor() as killers:
        for each in all_clients.values():
            work.enter_context(each.transferring())
        kills = {
            backend: killers.submit(kill_ten_times, stack, backend, [each], kill)
            for backend, each in all_clients.items()
        }
        for killing in kills.values():
            killing.result()

    for backend, each in all_clients.items():
        check(each, kills[backend].result(), f"{backend}, its server", report_figure)


def test_a_killed_app_has_stored_every_acknowledged_transfer(
    stack: Stack, kill: Callable[[int], None], report_figure: Callable[[str], None]
) -> None:
    all_clients = [start_clients(stack, backend) for backend in BACKENDS]

    with ExitStack() as work:
        for each in all_clients:
            work.enter_context(each.transferring())
        kills = kill_ten_times(stack, "app", all_clients, kill)

    for each in all_clients:
        check(each, kills, f"{each.backend}, the app", report_figure)


def start_clients(stack: Stack, backend: str) -> Clients:
    eventually(lambda: stack.is_ready(backend))
    new = Clients(stack, backend)
    new.open_accounts()
    return new


def kill_ten_times(
    stack: Stack, service: str, all_clients: list[Clients], kill: Callable[[int], None]
) -> list[Kill]:
    """Kill the main process until ten kills met requests of all clients.

    Each kill comes after all clients make transfers again. On a busy machine it may meet no request.
    """
    kills: list[Kill] = []

    def recovered() -> bool:
        last = kills[-1].after if kills else 0
        return all(each.acknowledged_since(last, CLIENTS) for each in all_clients)

    def met_requests() -> int:
        return sum(all(in_flight(each, kill) for each in all_clients) for kill in kills)

    eventually(recovered)
    while met_requests() < KILLS and len(kills) < 2 * KILLS:
        if len(kills) == KILLS // 2:
            began = time.monotonic()
            eventually(lambda began=began: time.monotonic() > began + LONG_LIFE)  # type: ignore[misc]
        pid, _ = stack.process(service)
        before = time.monotonic()
        kill(pid)
        kills.append(Kill(before, time.monotonic()))
        eventually(recovered)
    return kills


def in_flight(each: Clients, kill: Kill) -> list[Attempt]:
    return [
        attempt
        for attempt in list(each.attempts)
        if attempt.begun < kill.before and attempt.ended > kill.after
    ]


def check(each: Clients, kills: list[Kill], killed: str, report_figure: Callable[[str], None]) -> None:
    met = [attempts for kill in kills if (attempts := in_flight(each, kill))]
    recovery = [
        min(made.ended for made in each.attempts if made.begun > kill.after and made.status == 201)
        - kill.after
        for kill in kills
    ]
    each.check()

    assert len(met) >= KILLS

    made = sum(attempt.status == 201 for attempt in each.attempts)
    refused = sum(attempt.status == 409 for attempt in each.attempts)
    counts = [len(attempts) for attempts in met]
    cut = sum(attempt.cut for attempts in met for attempt in attempts)
    assert cut > 0
    retries = sum(attempt.cut for attempt in each.attempts)
    report_figure(
        f"{killed} killed {len(kills)} times: {made} transfers acknowledged and {refused} refused;"
        f" {min(counts)} to {max(counts)} requests in flight at a kill, {cut} of {sum(counts)} cut off;"
        f" {retries} retries; recovered in {median(recovery):.1f} s (at most {max(recovery):.1f} s)"
    )
