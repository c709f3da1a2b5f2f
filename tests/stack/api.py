"""Use the ledger's API, however its requests reach an app."""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPMessage
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str] | HTTPMessage
    json: Any


class Api(ABC):
    """The API of one app for each backend, below `/<backend>`."""

    @abstractmethod
    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request; raise `OSError` if there is no complete response."""

    def open_account(self, backend: str, balance: str) -> int:
        account = {"owner": "Ada", "currency": "EUR", "balance": balance}
        answer = self.ask("POST", f"/{backend}/api/accounts", account)
        assert answer.status == 201, answer.json
        return int(answer.json["id"])

    def transfer(self, backend: str, source: int, target: int, amount: str, *, key: str = "") -> Answer:
        """Request a transfer, with a new idempotency key unless one is given."""
        order = {"from_account_id": source, "to_account_id": target, "amount": amount}
        named = {"idempotency_key": key or secrets.token_hex(16)}
        return self.ask("POST", f"/{backend}/api/transfers", order | named)

    def balance(self, backend: str, account: int) -> str:
        return str(self.ask("GET", f"/{backend}/api/accounts/{account}").json["balance"])

    def items(self, backend: str, kind: str) -> list[dict[str, Any]]:
        """Return all `accounts` or all `transfers`."""
        found: list[dict[str, Any]] = []
        page, more = 0, True
        while more:
            page += 1
            answer = self.ask("GET", f"/{backend}/api/{kind}?per_page=100&page={page}").json
            found += answer["items"]
            more = len(found) < answer["total"]
        return found
