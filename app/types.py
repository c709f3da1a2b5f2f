"""Define column types that behave the same on every backend.

A value that a column cannot store exactly raises ``ValueError`` before it is sent. SQLite
would store it as it is, MySQL would round it, PostgreSQL would fail.
"""

# ruff: noqa: ARG002 - the base class defines the signatures

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite generates values for an INTEGER key only, not for a BIGINT key.
Id = BigInteger().with_variant(Integer(), "sqlite")
LARGEST_ID = 2**63 - 1

# These collations compare byte by byte, trailing spaces included.
COLLATIONS = {
    "sqlite": "BINARY",
    "postgresql": "C",
    "mysql": "utf8mb4_0900_bin",
    "mariadb": "utf8mb4_nopad_bin",
}

MONEY_DIGITS = 12
MONEY_PLACES = 4
LARGEST_MONEY = Decimal(10) ** MONEY_DIGITS - Decimal(10) ** -MONEY_PLACES


def unstorable(text: str) -> str | None:
    """Return why ``text`` cannot be stored in every database; None if it can."""
    if "\0" in text:
        return "NUL (U+0000) cannot be stored."
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "A lone surrogate (U+D800 to U+DFFF) is not text."
    return None


class ExactText(TypeDecorator[str]):
    """Text of up to ``length`` Unicode characters, compared byte by byte.

    NUL and lone surrogates are refused, because PostgreSQL cannot store them.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return a VARCHAR of this length, with the binary collation of ``dialect``."""
        return dialect.type_descriptor(String(self.length, collation=COLLATIONS.get(dialect.name)))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return ``value``, or raise ``ValueError`` if the column cannot store it."""
        if value is None:
            return None
        # SQLite does not enforce lengths.
        if len(value) > self.length:
            message = f"{len(value)} characters are too many for a column of {self.length}."
            raise ValueError(message)
        if fault := unstorable(value):
            raise ValueError(fault)
        return value


class Money(TypeDecorator[Decimal]):
    """An exact decimal, stored as an integer number of ten-thousandths.

    SQLite has no exact NUMERIC, and MySQL and PostgreSQL round surplus decimal places. Integers
    are compared and added exactly on all three. Literals in SQL are in ten-thousandths.
    """

    impl = BigInteger
    cache_ok = True

    # With the comparator of BIGINT, the sum of two amounts would be an integer of ten-thousandths.
    comparator_factory = TypeDecorator.Comparator

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Return ``value`` in ten-thousandths; raise ``ValueError`` rather than round."""
        return None if value is None else in_units(value)

    def process_result_value(self, value: int | Decimal | None, dialect: Dialect) -> Decimal | None:
        """Return the amount. ``value`` is a Decimal if a server has added integers."""
        return None if value is None else Decimal(value).scaleb(-MONEY_PLACES)


def in_units(amount: Decimal) -> int:
    """Return ``amount`` in the ten-thousandths that the database stores.

    Raises:
        ValueError: ``amount`` is no Decimal, too large, or has too many decimal places.
    """
    if not isinstance(amount, Decimal):
        message = f"Money is a Decimal, not {type(amount).__name__}."
        raise ValueError(message)  # noqa: TRY004 - a column refuses every value with the same error
    if not amount.is_finite() or abs(amount) >= Decimal(2**63).scaleb(-MONEY_PLACES):
        message = f"{amount} is outside the range of the database."
        raise ValueError(message)
    units = amount.scaleb(MONEY_PLACES)
    if units != units.to_integral_value():
        message = f"{amount} has more than {MONEY_PLACES} decimal places."
        raise ValueError(message)
    return int(units)


class Instant(TypeDecorator[datetime]):
    """A time with microseconds, aware and in UTC when it is read. Naive values are refused."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return a type with microseconds: on MySQL, a plain DATETIME drops them."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return ``value`` in UTC."""
        if value is None:
            return None
        if value.utcoffset() is None:
            message = "A naive datetime has no time zone. Give it one, such as datetime.now(UTC)."
            raise ValueError(message)
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return ``value`` aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
