"""What the ledger does: accounts are opened and read, money moves from one to another.

Nothing here knows of HTTP. Each operation that writes is a transaction of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import func, select

from .database import Base, db_session
from .models import Account, Transfer
from .retry import in_transaction
from .types import LARGEST_MONEY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

M = TypeVar("M", bound=Base)


class RefusedError(Exception):
    """What was asked for makes no sense here; ``field`` says where, ``reason`` why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ConflictError(RefusedError):
    """It would make sense, but not with what the ledger holds now."""


class UnknownError(RefusedError):
    """There is no such thing."""


@dataclass(frozen=True)
class Page(Generic[M]):
    """One page of what there is, in the order of ids."""

    items: Sequence[M]
    page: int
    per_page: int
    total: int


def open_account(*, owner: str, currency: str, balance: Decimal) -> Account:
    """Open an account and return it, detached and loaded."""

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
    """Return the accounts of one page, which is empty past the last one."""
    return _page(Account, page, per_page)


def list_transfers(page: int, per_page: int) -> Page[Transfer]:
    """Return the transfers of one page, which is empty past the last one."""
    return _page(Transfer, page, per_page)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A transfer that somebody wants; those of one ``idempotency_key`` are one transfer."""

    from_account_id: int
    to_account_id: int
    amount: Decimal
    note: str
    idempotency_key: str

    def asked_for(self, transfer: Transfer) -> bool:
        """Say whether ``transfer`` is what this order asks for."""
        return all(getattr(transfer, name) == value for name, value in vars(self).items())


def transfer(order: Order) -> Transfer:
    """Move the money and return the transfer, detached and loaded.

    The same order again returns the same transfer and moves nothing. Another order under its
    key, an overdraft, and a balance beyond ``LARGEST_MONEY`` are a ``ConflictError``; unknown
    accounts, one account twice and two currencies are a ``RefusedError``. An order that was
    refused leaves its key free.
    """
    if order.from_account_id == order.to_account_id:
        raise RefusedError(field="to_account_id", reason="Money cannot go to the account that it comes from.")
    return in_transaction(lambda: _apply(order))


def _apply(order: Order) -> Transfer:
    # First of all, since on MySQL the first plain read fixes what all later ones see: it must
    # not be older than the locks. One by one and in the order of ids, so that no two transfers
    # ever wait for each other, whatever plan the server would make for both at once.
    accounts = {
        account_id: db_session.get(Account, account_id, with_for_update=True)
        for account_id in sorted({order.from_account_id, order.to_account_id})
    }
    done = db_session.scalar(select(Transfer).where(Transfer.idempotency_key == order.idempotency_key))
    if done is not None:
        if not order.asked_for(done):
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
    """Write ``row`` and detach it, loaded: to answer with it takes no further transaction."""
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
