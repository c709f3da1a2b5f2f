"""Define the tables of the ledger. Rules that must never be broken are constraints."""

# SQLAlchemy evaluates the annotations of the models at run time.
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from .database import Base
from .types import LARGEST_MONEY, ExactText, Id, Instant, Money, in_units

OWNER_LENGTH = 200
CURRENCY_LENGTH = 3
NOTE_LENGTH = 1000
KEY_LENGTH = 200


def now() -> datetime:
    """Return the current time, aware and in UTC."""
    return datetime.now(UTC)


class Account(Base):
    """Money of one owner in one currency. The balance is never negative."""

    __tablename__ = "account"
    __table_args__ = (
        CheckConstraint(f"balance BETWEEN 0 AND {in_units(LARGEST_MONEY)}", name="account_balance_in_range"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    owner: Mapped[str] = mapped_column(ExactText(OWNER_LENGTH))
    currency: Mapped[str] = mapped_column(ExactText(CURRENCY_LENGTH))
    balance: Mapped[Decimal] = mapped_column(Money)


class Transfer(Base):
    """Money that was moved from one account to another, once for each idempotency key."""

    __tablename__ = "transfer"
    __table_args__ = (
        CheckConstraint("from_account_id <> to_account_id", name="transfer_between_two_accounts"),
        CheckConstraint("amount > 0", name="transfer_of_some_amount"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    from_account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    to_account_id: Mapped[int] = mapped_column(ForeignKey(Account.id))
    amount: Mapped[Decimal] = mapped_column(Money)
    note: Mapped[str] = mapped_column(ExactText(NOTE_LENGTH))
    created_at: Mapped[datetime] = mapped_column(Instant, default=now)
    idempotency_key: Mapped[str] = mapped_column(ExactText(KEY_LENGTH), unique=True)
