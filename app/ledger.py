"""Open and read accounts, and move money between them.

This module does not depend on HTTP. Each operation that writes is a transaction of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from sqlalchemy import func, select

from .database import Base, db_session
from .models import Account, Transfer
from .retry import in_transaction
from .types import LARGEST_MONEY

M = TypeVar("M", bound=Base)


class RefusedError(Exception):
    """The request is impossible. ``field`` names its wrong part, ``reason`` says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ConflictError(RefusedError):
    """The request conflicts with the current content of the ledger."""


class UnknownError(RefusedError):
    """The requested row does not exist."""


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page of all rows, in the order of their ids."""

    items: Sequence[M]
    page: int
    per_page: int
    total: int


def open_account(*, owner: str, currency: str, balance: Decimal) -> Account:
    """Open an account and return it, loaded and detached from the session."""

    def work() -> Account:
        return _kept(Account(owner=owner, currency=currency, balance=balance))

    return in_transaction(work)


def get_account(account_id: int) -> Account:
    """Return the account, or raise ``UnknownError``."""
    account = db_session.get(Account, account_id)
    if account is None:
        raise UnknownError(field="account_id", reason="No such account.")
    return account


def list_accounts(page: int, per_page: int) -> Page[Account]:
    """Return one page of the accounts; it is empty after the last one."""
    return _page(Account, page, per_page)


def list_transfers(page: int, per_page: int) -> Page[Transfer]:
    """Return one page of the transfers; it is empty after the last one."""
    return _page(Transfer, page, per_page)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A transfer to make. Orders with the same ``idempotency_key`` are one transfer."""

    from_account_id: int
    to_account_id: int
    amount: Decimal
    note: str
    idempotency_key: str

    def matches(self, transfer: Transfer) -> bool:
        """Return whether ``transfer`` is the transfer that this order describes."""
        return all(getattr(transfer, name) == value for name, value in vars(self).items())


def transfer(order: Order) -> Transfer:
    """Move the money, or return the earlier transfer of the same order.

    Returns:
        The transfer, loaded and detached from the session.

    Raises:
        ConflictError: Another order has this key, the source does not hold the amount, or the
            target would hold more than ``LARGEST_MONEY``.
        RefusedError: An account is unknown, both accounts are the same, or their currencies
            differ. After either error, the key is still free.
    """
    if order.from_account_id == order.to_account_id:
        raise RefusedError(field="to_account_id", reason="Money cannot go to the account that it comes from.")
    return in_transaction(lambda: _apply(order))


def _apply(order: Order) -> Transfer:
    # The locks come first: on MySQL the first plain read fixes the snapshot for all later
    # reads, and it must not be older than the locks. They are taken one by one, in the order of
    # ids, so that two transfers never wait for each other. A single query for both rows would
    # lock them in the order of the server's plan.
    accounts = {
        account_id: db_session.get(Account, account_id, with_for_update=True)
        for account_id in sorted({order.from_account_id, order.to_account_id})
    }
    done = db_session.scalar(select(Transfer).where(Transfer.idempotency_key == order.idempotency_key))
    if done is not None:
        if not order.matches(done):
            raise ConflictError(field="idempotency_key", reason="This key belongs to another transfer.")
        return _kept(done)
    source = _known(accounts, "from_account_id", order.from_account_id)
    target = _known(accounts, "to_account_id", order.to_account_id)
    if source.currency != target.currency:
        reason = f"{source.currency} cannot go to an account in {target.currency}."
        raise RefusedError(field="to_account_id", reason=reason)
    if source.balance < order.amount:
        raise ConflictError(field="amount", reason="The account does not hold this much.")
    if target.balance + order.amount > LARGEST_MONEY:
        raise ConflictError(field="amount", reason=f"No account can hold more than {LARGEST_MONEY}.")
    source.balance -= order.amount
    target.balance += order.amount
    return _kept(Transfer(**vars(order)))


def _known(accounts: dict[int, Account | None], field: str, account_id: int) -> Account:
    account = accounts[account_id]
    if account is None:
        raise RefusedError(field, reason="No such account.")
    return account


def _kept(row: M) -> M:
    """Write ``row`` and detach it loaded, so that the answer needs no other transaction."""
    db_session.add(row)
    db_session.flush()
    db_session.expunge(row)
    return row


def _page(model: type[M], page: int, per_page: int) -> Page[M]:
    total = db_session.scalar(select(func.count()).select_from(model)) or 0
    rows = db_session.scalars(
        select(model).order_by(model.__table__.c.id).offset((page - 1) * per_page).limit(per_page)
    ).all()
    return Page(rows, page, per_page, total)
