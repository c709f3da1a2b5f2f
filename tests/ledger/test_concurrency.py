from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Event
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, insert
from werkzeug.test import TestResponse

from app.database import get_engine
from app.models import Transfer

OpenAccount = Callable[..., int]
Order = Callable[..., dict[str, Any]]
Balance = Callable[[int], str]
PostAtOnce = Callable[[Sequence[dict[str, Any]]], list[TestResponse]]


def test_opposite_transfers_at_once_all_succeed_without_a_deadlock_and_keep_the_total(
    open_account: OpenAccount,
    order: Order,
    balance: Balance,
    post_at_once: PostAtOnce,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Accounts are locked in one order, so the first try of each succeeds.
    monkeypatch.setattr("app.retry.TRIES", 1)
    ada, bob = open_account("100.00"), open_account("100.00")
    there = order(from_account_id=ada, to_account_id=bob, amount="3")
    back = order(from_account_id=bob, to_account_id=ada, amount="2")

    answers = post_at_once([{**body, "idempotency_key": f"{n}"} for n, body in enumerate([there, back] * 6)])

    assert {answer.status_code for answer in answers} == {201}
    assert (balance(ada), balance(bob)) == ("94.00", "106.00")


def test_transfers_around_a_ring_at_once_all_succeed_and_keep_the_total(
    open_account: OpenAccount, order: Order, balance: Balance, post_at_once: PostAtOnce
) -> None:
    ring = [open_account("10.00") for _ in range(4)]
    bodies = [
        order(from_account_id=ring[i % 4], to_account_id=ring[(i + 1) % 4], amount="1") for i in range(12)
    ]

    answers = post_at_once(bodies)

    assert {answer.status_code for answer in answers} == {201}
    assert [balance(account) for account in ring] == ["10.00"] * 4


def test_an_account_that_many_transfers_debit_at_once_is_never_overdrawn(
    open_account: OpenAccount, order: Order, balance: Balance, post_at_once: PostAtOnce
) -> None:
    ada, bob = open_account("10.00"), open_account("0")

    answers = post_at_once([order(from_account_id=ada, to_account_id=bob, amount="3") for _ in range(8)])

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 5
    assert (balance(ada), balance(bob)) == ("1.00", "9.00")


def test_one_order_sent_many_times_at_once_is_applied_once_and_answered_equally(
    client: FlaskClient, order: Order, balance: Balance, post_at_once: PostAtOnce
) -> None:
    body = order(amount="25.00")

    answers = post_at_once([body] * 8)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert balance(body["from_account_id"]) == "75.00"
    assert client.get("/api/transfers").json["total"] == 1  # type: ignore[index]


def test_one_key_sent_at_once_with_different_accounts_is_applied_once(
    client: FlaskClient, order: Order, post_at_once: PostAtOnce
) -> None:
    answers = post_at_once([order(idempotency_key="the same") for _ in range(6)])

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
    assert client.get("/api/transfers").json["total"] == 1  # type: ignore[index]


def test_a_key_that_another_transaction_takes_after_the_lookup_is_a_conflict(
    app: Flask, client: FlaskClient, order: Order, balance: Balance
) -> None:
    body, other = order(), order()
    del other["idempotency_key"]
    waits = Event()

    def watch(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT INTO transfer", "BEGIN IMMEDIATE")):
            waits.set()

    with app.app_context():
        engine = get_engine()
    with engine.connect() as rival, ThreadPoolExecutor(1) as threads:
        values = {**other, "amount": Decimal(1), "idempotency_key": body["idempotency_key"]}
        rival.execute(insert(Transfer).values(**values))
        event.listen(engine, "before_cursor_execute", watch)
        answer = threads.submit(app.test_client().post, "/api/transfers", json=body)
        waits.wait(60)
        rival.commit()

        assert answer.result(60).status_code == 409
        assert balance(body["from_account_id"]) == "100.00"
        assert client.get("/api/transfers").json["total"] == 1  # type: ignore[index]
