"""Make transfers on the pair as clients do, and count which of them are stored."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from threading import Lock
from typing import Any

from flask import Flask
from sqlalchemy import func, select
from werkzeug.test import Client

from app.database import create_all, db_session
from app.models import Transfer

from .nodes import KEPT

CLIENTS = 4
ACCOUNTS = 10
BALANCE = "1000000"

# Seconds from an answer to the next request: after success, after a failure, and from one count to the next.
PAUSE, RETRY, COUNT = 0.15, 0.1, 1.0


@dataclass(frozen=True)
class Attempt:
    """A request for a transfer, at its moments of `time.monotonic`."""

    begun: float
    ended: float
    acknowledged: bool


class Load:
    """Clients that transfer money between accounts of their own, through the app."""

    def __init__(self, app: Flask) -> None:
        """Take the app, on the address that leads to the primary; nothing connects yet."""
        self.attempts: deque[Attempt] = deque()
        """The transfers that ended less than `KEPT` ago, the newest last."""
        self.acknowledged = 0
        self.failed = 0
        self.lost = 0
        """Acknowledged transfers that the database does not have, at the last count."""
        self._app = app
        # Without the log of requests, which the trial adds later.
        self._client = Client(app.wsgi_app)
        self._accounts: list[int] = []
        self._waiting: dict[int, float] = {}
        self._lock, self._opening = Lock(), Lock()

    def works(self) -> tuple[Callable[[], float], ...]:
        """Return the functions that the threads of a `Watch` repeat."""
        return (*(_Orders(self, number).send for number in range(CLIENTS)), self.count)

    def waiting(self) -> float:
        """Return the seconds since the oldest request that has no answer; 0 if there is none."""
        now = time.monotonic()
        return now - min([now, *list(self._waiting.values())])

    def count(self) -> float:
        """Count the acknowledged transfers that are not stored."""
        acknowledged, accounts = self.acknowledged, self._accounts
        try:
            with self._app.app_context():
                of_these = select(func.count(Transfer.id)).where(Transfer.from_account_id.in_(accounts))
                stored = db_session.scalar(of_these) or 0
        except Exception:  # noqa: BLE001 - the database is away; the next count will tell
            return COUNT
        self.lost = max(0, acknowledged - stored) if accounts is self._accounts else 0
        return COUNT

    def post(self, client: int, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Send a request to the API, and return the status and the JSON."""
        self._waiting[client] = time.monotonic()
        try:
            with self._client.open(f"/api/{path}", method="POST", json=body, buffered=True) as answer:
                return answer.status_code, answer.get_json(silent=True)
        except Exception:  # noqa: BLE001 - an app that propagates its errors
            return HTTPStatus.INTERNAL_SERVER_ERROR, None
        finally:
            del self._waiting[client]

    def accounts(self, client: int) -> list[int]:
        """Return the accounts; open them, in tables that are made if a new pair has none.

        Raises:
            Exception: The database is away.
        """
        with self._opening:
            if not self._accounts:
                with self._app.app_context():
                    create_all()
                body = {"owner": "Failover", "currency": "EUR", "balance": BALANCE}
                self._accounts = [self.post(client, "accounts", body)[1]["id"] for _ in range(ACCOUNTS)]
                self.acknowledged = self.failed = self.lost = 0
            return self._accounts

    def forget_accounts(self, accounts: list[int]) -> None:
        """Open new accounts before the next transfer, unless another client has done so."""
        with self._opening:
            if accounts is self._accounts:
                self._accounts = []

    def note(self, attempt: Attempt) -> None:
        """Count an attempt, and forget old ones."""
        with self._lock:
            self.attempts.append(attempt)
            self.acknowledged += attempt.acknowledged
            self.failed += not attempt.acknowledged
            while self.attempts[0].ended < attempt.ended - KEPT:
                self.attempts.popleft()


class _Orders:
    """The orders of one client: it repeats each with the same idempotency key."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._number = number
        self._random = Random(number)  # noqa: S311 - not a secret
        self._order: dict[str, Any] | None = None

    def send(self) -> float:
        """Send the current order once."""
        begun = time.monotonic()
        accounts: list[int] = []
        try:
            accounts = self._load.accounts(self._number)
            order = self._order or self._new_order(accounts)
            status, _ = self._load.post(self._number, "transfers", order)
        except Exception:  # noqa: BLE001 - the database is away, so there are no tables and no accounts
            order, status = None, HTTPStatus.SERVICE_UNAVAILABLE
        acknowledged = status == HTTPStatus.CREATED
        self._load.note(Attempt(begun, time.monotonic(), acknowledged))
        if status not in {HTTPStatus.CREATED, HTTPStatus.SERVICE_UNAVAILABLE}:
            # A new pair is empty.
            self._load.forget_accounts(accounts)
            order = None
        self._order = None if acknowledged else order
        return PAUSE if acknowledged else RETRY

    def _new_order(self, accounts: list[int]) -> dict[str, Any]:
        source, target = self._random.sample(accounts, 2)
        return {
            "from_account_id": source,
            "to_account_id": target,
            "amount": str(self._random.randint(1, 100)),
            "idempotency_key": secrets.token_hex(8),
        }
