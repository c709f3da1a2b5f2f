"""Define the forms of the page that use the ledger; each sends one request to the app's API."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from .stage import Reply, Stage


@dataclass(frozen=True)
class Field:
    """A field of a form."""

    name: str
    label: str
    value: str = ""
    read: Callable[[str], object] = str
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """A form of the page, and the request that it sends."""

    id: str
    title: str
    method: str
    path: str
    fields: tuple[Field, ...] = ()

    def body(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Return the body of the request; the API validates it."""
        return {field.name: field.read(form.get(field.name, "").strip()) for field in self.fields}

    def act(self, form: Mapping[str, str]) -> Callable[[Stage], None]:
        """Return a function that sends the request and keeps the response."""
        options: dict[str, Any] = {"json": self.body(form)} if self.fields else {}

        def act(stage: Stage) -> None:
            answer = stage.request(self.path, self.method, **options)
            good = answer.status_code < HTTPStatus.BAD_REQUEST
            stage.replies.append(Reply(answer.status, _formatted(answer.get_json()), good))

        return act


def _formatted(answer: dict[str, Any]) -> str:
    """Return JSON with a line for each field, and for each row of a list."""

    def written(value: object) -> str:
        if isinstance(value, list) and value:
            rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in value)
            return f"[\n{rows}\n  ]"
        return json.dumps(value, ensure_ascii=False)

    fields = ",\n".join(f"  {json.dumps(name)}: {written(value)}" for name, value in answer.items())
    return f"{{\n{fields}\n}}"


def _number(text: str) -> object:
    # Other texts go to the API unchanged, which refuses them.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text  # noqa: PLR2004


_ID = {"inputmode": "numeric", "autocomplete": "off"}
_MONEY = {"inputmode": "decimal", "autocomplete": "off"}
_TEXT = {"autocomplete": "off"}

OPERATIONS = {
    operation.id: operation
    for operation in (
        Operation(
            "open-account",
            "Open an account",
            "POST",
            "/api/accounts",
            (
                Field("owner", "Owner", "Ada", attributes=_TEXT),
                Field("currency", "Currency", "EUR", attributes=_TEXT),
                Field("balance", "Balance", "100.00", attributes=_MONEY),
            ),
        ),
        Operation(
            "transfer",
            "Transfer",
            "POST",
            "/api/transfers",
            (
                Field("from_account_id", "From account", "1", _number, _ID),
                Field("to_account_id", "To account", "2", _number, _ID),
                Field("amount", "Amount", "5.00", attributes=_MONEY),
                Field("note", "Note", "for tea", attributes=_TEXT),
                Field("idempotency_key", "Key, once for each transfer", attributes=_TEXT),
            ),
        ),
        Operation("list-accounts", "List accounts", "GET", "/api/accounts?per_page=100"),
        Operation("list-transfers", "List transfers", "GET", "/api/transfers?per_page=100"),
    )
}
