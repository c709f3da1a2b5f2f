from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from decimal import Decimal
from threading import Barrier, BrokenBarrierError

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.database import db_session
from app.models import Account
from app.retry import in_transaction

OpenAccount = Callable[..., int]
Balance = Callable[[int], str]


def draw(account_id: int, amount: Decimal) -> None:
    """Compute the new balance in Python, so that a missing lock would lose an update."""
    account = db_session.get(Account, account_id, with_for_update=True)
    assert account is not None
    account.balance -= amount
    db_session.flush()


def test_work_that_loses_a_deadlock_runs_again(
    app: Flask, open_account: OpenAccount, balance: Balance
) -> None:
    ada, bob = open_account("100.00"), open_account("100.00")
    both_hold_one = Barrier(2)

    def draw_on_both(*account_ids: int) -> None:
        def work() -> None:
            draw(account_ids[0], Decimal(10))
            # The threads cannot meet here on a database with one writer, or at a second try.
            with suppress(BrokenBarrierError):
                both_hold_one.wait(0.5)
            both_hold_one.abort()
            draw(account_ids[1], Decimal(1))

        with app.app_context():
            in_transaction(work)

    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(draw_on_both, ada, bob), threads.submit(draw_on_both, bob, ada)]:
            future.result(60)

    assert (balance(ada), balance(bob)) == ("89.00", "89.00")


def test_work_that_fails_leaves_nothing_behind(
    app: Flask, open_account: OpenAccount, balance: Balance
) -> None:
    ada = open_account("100.00")

    def work() -> None:
        draw(ada, Decimal(10))
        raise KeyError

    with app.app_context(), pytest.raises(KeyError):
        in_transaction(work)

    assert balance(ada) == "100.00"


@pytest.mark.parametrize(("limit", "made"), [(("TRIES", 3), 3), (("RETRY_SECONDS", 0), 1)])
def test_a_unique_value_that_stays_taken_is_raised_after_the_last_try_or_when_the_time_is_over(
    app: Flask, open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch, limit: tuple[str, int], made: int
) -> None:
    ada = open_account()
    monkeypatch.setattr(f"app.retry.{limit[0]}", limit[1])
    tries = []

    def work() -> None:
        tries.append(1)
        db_session.add(Account(id=ada, owner="Bob", currency="EUR", balance=Decimal(1)))
        db_session.flush()

    with app.app_context(), pytest.raises(IntegrityError):
        in_transaction(work)

    assert len(tries) == made


def test_an_error_that_another_try_would_not_avoid_is_raised_at_once(
    app: Flask, open_account: OpenAccount
) -> None:
    ada = open_account()
    tries = []

    def work() -> None:
        tries.append(1)
        db_session.execute(update(Account).where(Account.id == ada).values(balance=Decimal(-1)))

    with app.app_context(), pytest.raises(Exception, match="balance_in_range"):
        in_transaction(work)

    assert len(tries) == 1


def test_an_open_transaction_is_refused(app: Flask, open_account: OpenAccount) -> None:
    ada = open_account("100.00")

    with app.app_context():
        db_session.scalars(select(Account)).all()

        with pytest.raises(RuntimeError, match="Commit it or roll it back"):
            in_transaction(lambda: draw(ada, Decimal(10)))


def test_a_returned_row_can_be_read_without_another_transaction(app: Flask) -> None:
    from app import ledger  # noqa: PLC0415

    with app.app_context():
        account = ledger.open_account(owner="Ada", currency="EUR", balance=Decimal("12.5"))

        assert (account.owner, account.balance) == ("Ada", Decimal("12.5"))
        assert not db_session().in_transaction()
