"""Values are read as they were written, and compared exactly, on every backend."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError, StatementError

from app.database import db_session
from app.models import Account, Transfer

OpenAccount = Callable[..., int]

TIME = datetime(2026, 11, 22, 12, 30, 59, 619951, tzinfo=UTC)
TEXTS = [
    "Ada Lovelace",
    "Łódź, Zürich, Đà Nẵng",
    "渋谷 · العربية · हिन्दी",
    "🍣🍺👩‍👩‍👧‍👦",
    "ke\u0301y ≠ k\u00e9y",
    " spaces around ",
    "a\tb\nc\r\nd",
    "'; DROP TABLE account; -- \\' \" ` % %s :name {x}",
    "🍣" * 200,  # a column counts characters, not bytes
    "\x01\x7f\x80\ufeff\ufffe\uffff\U0010ffff",
]


@pytest.fixture
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def commit(row: Account | Transfer) -> int:
    """Commit the row and remove the session, so that the next read comes from the database."""
    db_session.add(row)
    db_session.commit()
    row_id = row.id
    db_session.remove()
    return row_id


def account(**fields: Any) -> Account:
    return Account(**{"owner": "Ada", "currency": "EUR", "balance": Decimal(1), **fields})


@pytest.fixture
def transfer(context: None, open_account: OpenAccount) -> Callable[..., Transfer]:
    del context
    ids = {"from_account_id": open_account(), "to_account_id": open_account()}
    return lambda **fields: Transfer(
        **{**ids, "amount": Decimal(1), "note": "", "idempotency_key": "key", **fields}
    )


@pytest.mark.usefixtures("context")
def test_money_is_read_as_it_was_written() -> None:
    amounts = [Decimal(a) for a in ("0", "0.0001", "0.1", "1", "12345678.9", "999999999999.9999")]

    ids = [commit(account(balance=amount)) for amount in amounts]

    assert [db_session.get_one(Account, account_id).balance for account_id in ids] == amounts


@pytest.mark.usefixtures("context")
def test_money_compares_and_adds_up_exactly_in_sql() -> None:
    for amount in ("0.1", "0.2", "999999999999.9999"):
        commit(account(balance=Decimal(amount)))

    assert db_session.scalar(select(func.sum(Account.balance))) == Decimal("1000000000000.2999")
    assert db_session.scalars(select(Account.balance).where(Account.balance > Decimal("0.1999"))).all() == [
        Decimal("0.2"),
        Decimal("999999999999.9999"),
    ]
    assert db_session.scalar(select(Account.balance + Decimal("0.2")).order_by(Account.id)) == Decimal("0.3")


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize(
    "amount", [Decimal("0.00001"), Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 15, 0.5]
)
def test_money_that_cannot_be_stored_exactly_is_refused(amount: object) -> None:
    db_session.add(account(balance=amount))

    with pytest.raises(StatementError, match=r"Money is a Decimal|outside the range|decimal places"):
        db_session.flush()


@pytest.mark.parametrize(
    "moment",
    [
        TIME,
        TIME.replace(microsecond=1),
        TIME.astimezone(timezone(timedelta(hours=-8))),
        TIME.replace(year=1999),
    ],
)
def test_a_time_keeps_its_microseconds_and_is_read_in_utc(
    transfer: Callable[..., Transfer], moment: datetime
) -> None:
    commit(transfer(created_at=moment))

    read = db_session.scalars(select(Transfer.created_at)).one()

    assert read == moment
    assert read.tzinfo is UTC


def test_times_compare_to_the_microsecond_in_any_time_zone(transfer: Callable[..., Transfer]) -> None:
    commit(transfer(created_at=TIME))
    same = TIME.astimezone(timezone(timedelta(hours=14)))

    assert db_session.scalar(select(func.count()).where(Transfer.created_at == same)) == 1
    assert db_session.scalar(select(func.count()).where(Transfer.created_at < same)) == 0
    assert (
        db_session.scalar(select(func.count()).where(Transfer.created_at < same + timedelta(microseconds=1)))
        == 1
    )


def test_a_naive_time_is_refused(transfer: Callable[..., Transfer]) -> None:
    db_session.add(transfer(created_at=TIME.replace(tzinfo=None)))

    with pytest.raises(StatementError, match="naive"):
        db_session.flush()


@pytest.mark.usefixtures("context")
def test_any_text_is_read_as_it_was_written() -> None:
    ids = [commit(account(owner=text)) for text in TEXTS]

    assert [db_session.get_one(Account, account_id).owner for account_id in ids] == TEXTS


@pytest.mark.usefixtures("context")
def test_text_compares_byte_by_byte() -> None:
    for owner in ("ada", "Ada", "ada ", "áda", "🍣", "🍺"):
        commit(account(owner=owner))

    assert db_session.scalars(select(Account.owner).where(Account.owner == "ada")).all() == ["ada"]
    assert db_session.scalars(select(Account.owner).where(Account.owner == "🍣")).all() == ["🍣"]
    assert db_session.scalars(select(Account.owner).order_by(Account.owner)).all() == [
        "Ada",
        "ada",
        "ada ",
        "áda",
        "🍣",
        "🍺",
    ]


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("owner", ["a\0b", "\ud800", "\udc00\ud800", "a" * 201])
def test_text_that_not_every_database_can_store_is_refused(owner: str) -> None:
    db_session.add(account(owner=owner))

    with pytest.raises(StatementError, match=r"NUL|surrogate|too many"):
        db_session.flush()


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"from_account_id": 999_999_999},
        {"to_account_id": 999_999_999},
    ],
)
def test_the_database_refuses_an_invalid_transfer(
    transfer: Callable[..., Transfer], fields: dict[str, object]
) -> None:
    db_session.add(transfer(**fields))

    with pytest.raises(DatabaseError):
        db_session.flush()


def test_the_database_refuses_a_transfer_to_its_own_account(transfer: Callable[..., Transfer]) -> None:
    row = transfer()
    row.to_account_id = row.from_account_id
    db_session.add(row)

    with pytest.raises(DatabaseError, match="between_two_accounts"):
        db_session.flush()


def test_the_database_refuses_a_second_transfer_with_one_key(transfer: Callable[..., Transfer]) -> None:
    commit(transfer())
    db_session.add(transfer())

    with pytest.raises(IntegrityError):
        db_session.flush()


@pytest.mark.usefixtures("context")
@pytest.mark.parametrize("balance", [Decimal("-0.0001"), Decimal(10) ** 12])
def test_the_database_refuses_a_balance_out_of_range(balance: Decimal) -> None:
    with pytest.raises(DatabaseError, match="balance_in_range"):
        db_session.execute(insert(Account).values(owner="Ada", currency="EUR", balance=balance))
