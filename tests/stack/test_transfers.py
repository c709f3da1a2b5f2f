from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier, Event

import pytest
from sqlalchemy import Engine, text

from tests.stack.api import Answer
from tests.stack.stack import BACKENDS, SERVERS, Stack

AT_ONCE = 200

OPEN_TRANSACTIONS = {
    "postgresql": """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
    """,
    "mysql": """
        SELECT count(*) FROM performance_schema.events_transactions_current
        JOIN performance_schema.threads USING (thread_id)
        WHERE state = 'ACTIVE' AND processlist_db = DATABASE() AND processlist_id <> CONNECTION_ID()
    """,
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_transfer_moves_money(stack: Stack, backend: str) -> None:
    ada, bob = stack.open_account(backend, "100"), stack.open_account(backend, "0")

    assert stack.transfer(backend, ada, bob, "12.50").status == 201
    assert (stack.balance(backend, ada), stack.balance(backend, bob)) == ("87.50", "12.50")


def test_the_backends_do_not_share_their_rows(stack: Stack) -> None:
    before = {backend: accounts(stack, backend) for backend in BACKENDS}

    stack.open_account("mysql", "1")

    after = {backend: accounts(stack, backend) for backend in before}
    assert after == before | {"mysql": before["mysql"] + 1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_200_concurrent_transfers_are_all_made_and_conserve_the_total(stack: Stack, backend: str) -> None:
    ids = [stack.open_account(backend, "1000") for _ in range(10)]

    answers = transfer_at_once(stack, backend, ids)

    assert [answer.status for answer in answers] == [201] * AT_ONCE
    assert sum(Decimal(stack.balance(backend, id_)) for id_ in ids) == 10 * 1000


@pytest.mark.parametrize("backend", SERVERS)
def test_concurrent_transfers_overlap_on_the_server(stack: Stack, backend: str) -> None:
    ids = [stack.open_account(backend, "1000") for _ in range(10)]
    over = Event()

    engine = stack.engine(backend, stack.password(backend))
    with ThreadPoolExecutor(1) as watcher:
        most = watcher.submit(maximum, engine, OPEN_TRANSACTIONS[backend], over)
        transfer_at_once(stack, backend, ids)
        over.set()

    assert most.result() > 1


def accounts(stack: Stack, backend: str) -> int:
    return int(stack.ask("GET", f"/{backend}/api/accounts").json["total"])


def transfer_at_once(stack: Stack, backend: str, ids: list[int]) -> list[Answer]:
    all_there = Barrier(AT_ONCE, timeout=60)

    def transfer(number: int) -> Answer:
        source, target = ids[number % len(ids)], ids[(number * 3 + 1) % len(ids)]
        if source == target:
            target = ids[(number + 1) % len(ids)]
        all_there.wait()
        return stack.transfer(backend, source, target, "1.25")

    with ThreadPoolExecutor(AT_ONCE) as clients:
        return list(clients.map(transfer, range(AT_ONCE)))


def maximum(engine: Engine, question: str, over: Event) -> int:
    """Return the largest number that the query returned until `over` was set."""
    most = 0
    with engine.connect() as connection:
        while not over.is_set():
            most = max(most, connection.scalar(text(question)) or 0)
    return most
