"""Define the JSON of requests and answers, for validation and for the OpenAPI document.

The JSON Schema of each field accepts exactly the values that the field accepts.
"""

import re
from datetime import datetime
from decimal import Decimal
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from . import models
from .types import LARGEST_ID, MONEY_DIGITS, MONEY_PLACES, unstorable

LARGEST_PAGE = 10**9
LARGEST_PER_PAGE = 100

AMOUNT = rf"(?:0|[1-9][0-9]{{0,{MONEY_DIGITS - 1}}})(?:\.[0-9]{{1,{MONEY_PLACES}}})?"
NOT_ZERO = r"(?!0(?:\.0+)?$)"

# Up to this number, a float represents each integer exactly.
EXACT_FLOAT = 2**53


class TextField(fields.String):
    """Text of all characters that every database can store."""

    def __init__(self, longest: int, *, shortest: int = 0, **options: Any) -> None:
        super().__init__(
            validate=[validate.Length(shortest, longest), _storable],
            metadata={"pattern": r"^[^\x00]*$"},
            **options,
        )


def _storable(text: str) -> None:
    if fault := unstorable(text):
        raise ma.ValidationError(fault)


def _three_letters(text: str) -> None:
    if not re.fullmatch("[A-Z]{3}", text):
        message = "Not three letters from A to Z."
        raise ma.ValidationError(message)


class MoneyField(fields.Field[Decimal]):
    """An exact decimal, as a string: many parsers turn a JSON number into a float."""

    def __init__(self, *, positive: bool = False, description: str, **options: Any) -> None:
        pattern = f"^{NOT_ZERO if positive else ''}{AMOUNT}$"
        self._pattern = re.compile(pattern)
        metadata = {"type": "string", "pattern": pattern, "description": description}
        super().__init__(metadata=metadata, **options)

    def _serialize(self, value: Decimal | None, *_: Any, **__: Any) -> str | None:
        """Return the shortest text with at least two decimal places."""
        if value is None:
            return None
        whole, _point, part = f"{value:.{MONEY_PLACES}f}".partition(".")
        return f"{whole}.{part.rstrip('0').ljust(2, '0')}"

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Decimal:
        if not isinstance(value, str):
            message = 'Not a string. Write money as a decimal string, such as "12.50".'
            raise ma.ValidationError(message)
        if not self._pattern.fullmatch(value):
            message = (
                f"Not an amount: up to {MONEY_DIGITS} digits and {MONEY_PLACES} decimal places,"
                f" no sign and no exponent, {self.metadata['description']}."
            )
            raise ma.ValidationError(message)
        return Decimal(value)


class IdField(fields.Field[int]):
    """The id of an account."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata=ID_SCHEMA, **options)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        # In JSON, 1.0 is the integer 1. Above EXACT_FLOAT, a float may be rounded to another id.
        if isinstance(value, float) and abs(value) <= EXACT_FLOAT and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            message = "Not an integer."
            raise ma.ValidationError(message)
        if not 1 <= value <= LARGEST_ID:
            message = f"An id is from 1 to {LARGEST_ID}."
            raise ma.ValidationError(message)
        return value


ID_SCHEMA = {"type": "integer", "format": "int64", "minimum": 1, "maximum": LARGEST_ID}


class CountField(fields.Field[int]):
    """A whole number from 1 to ``largest``, in a query string."""

    def __init__(self, largest: int, *, default: int, description: str) -> None:
        self._largest = largest
        metadata = {"type": "integer", "minimum": 1, "maximum": largest, "description": description}
        super().__init__(load_default=default, metadata=metadata)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        # int() also accepts spaces, underscores and the digits of every script.
        short = re.fullmatch("[1-9][0-9]*", value) and len(value) <= len(str(self._largest))
        if not short or int(value) > self._largest:
            message = f"Not a whole number from 1 to {self._largest}."
            raise ma.ValidationError(message)
        return int(value)


class InstantField(fields.Field[datetime]):
    """A time in UTC, always with microseconds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"type": "string", "format": "date-time"}, **options)

    def _serialize(self, value: datetime | None, *_: Any, **__: Any) -> str | None:
        if value is None:
            return None
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


class NewAccountSchema(ma.Schema):
    """An account to open."""

    owner = TextField(models.OWNER_LENGTH, shortest=1, required=True)
    currency = fields.String(required=True, validate=_three_letters, metadata={"pattern": "^[A-Z]{3}$"})
    balance = MoneyField(description="zero or more", required=True)


class AccountSchema(NewAccountSchema):
    """An account."""

    id = IdField(required=True)


class NewTransferSchema(ma.Schema):
    """A transfer to make. It is made once for each idempotency key."""

    from_account_id = IdField(required=True)
    to_account_id = IdField(required=True)
    amount = MoneyField(positive=True, description="more than zero", required=True)
    note = TextField(models.NOTE_LENGTH, load_default="")
    idempotency_key = TextField(models.KEY_LENGTH, shortest=1, required=True)


class TransferSchema(NewTransferSchema):
    """A transfer that was made."""

    id = IdField(required=True)
    note = TextField(models.NOTE_LENGTH, required=True)
    created_at = InstantField(required=True)


class PageQuerySchema(ma.Schema):
    """The part of a list to return."""

    page = CountField(LARGEST_PAGE, default=1, description="counted from 1")
    per_page = CountField(LARGEST_PER_PAGE, default=20, description="items per page")


class PageSchema(ma.Schema):
    """A part of a list, in the order of ids."""

    page = fields.Integer(required=True)
    per_page = fields.Integer(required=True)
    total = fields.Integer(required=True, metadata={"description": "items on all pages"})


class AccountPageSchema(PageSchema):
    """A page of accounts."""

    items = fields.List(fields.Nested(AccountSchema), required=True)


class TransferPageSchema(PageSchema):
    """A page of transfers."""

    items = fields.List(fields.Nested(TransferSchema), required=True)


class ProblemSchema(ma.Schema):
    """An error (RFC 9457)."""

    type = fields.String(required=True, metadata={"format": "uri-reference"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "The errors by field; the field 'body' means the whole body."},
    )


class StateSchema(ma.Schema):
    """The state of the app, for probes."""

    status = fields.String(required=True, validate=validate.OneOf(["ok"]))
