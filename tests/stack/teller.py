"""Clients that make transfers for as long as they are let, and remember what was said of each."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from random import Random
from threading import Event, Thread
from typing import TYPE_CHECKING

from tests.stack.stack import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stack.stack import Stack

CLIENTS = 8
ACCOUNTS = 10
START = 1000


@dataclass(frozen=True)
class Attempt:
    """One request for a transfer; there was no answer, or a 503, unless it was acknowledged or refused."""

    key: str
    begun: float
    ended: float
    status: int
    id: int | None = None

    @property
    def cut(self) -> bool:
        return self.status in {0, 503}


@dataclass
class Teller:
    """Has accounts of its own on one backend; money goes from one to another, and to nobody else."""

    stack: Stack
    backend: str
    accounts: list[int] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def open_accounts(self) -> None:
        self.accounts = [self.stack.open_account(self.backend, str(START)) for _ in range(ACCOUNTS)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Meanwhile transfers are made. At the end each has been acknowledged or refused."""
        over = Event()
        clients = [Thread(target=self._work, args=(seed, over)) for seed in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            yield
        finally:
            over.set()
            for client in clients:
                client.join()
        self._raise()

    def has_moved_since(self, moment: float, times: int = 1) -> bool:
        """So many transfers were asked for after that moment, and acknowledged."""
        self._raise()
        made = (attempt.begun > moment for attempt in list(self.attempts) if attempt.status == 201)
        return sum(made) >= times

    def check(self) -> None:
        """Every transfer that was acknowledged is there once, none that was refused, and no money is lost."""
        acknowledged = {attempt.key: attempt.id for attempt in self.attempts if attempt.status == 201}
        refused = {attempt.key for attempt in self.attempts if attempt.status == 409}
        everything = self.stack.everything(self.backend, "transfers")
        made = [transfer for transfer in everything if transfer["from_account_id"] in self.accounts]
        expected = dict.fromkeys(self.accounts, Decimal(START))
        for transfer in made:
            expected[transfer["from_account_id"]] -= Decimal(transfer["amount"])
            expected[transfer["to_account_id"]] += Decimal(transfer["amount"])
        balances = {id_: Decimal(self.stack.balance(self.backend, id_)) for id_ in self.accounts}

        kept = {transfer["idempotency_key"]: transfer["id"] for transfer in made}
        lost, never_told = acknowledged.keys() - kept.keys(), kept.keys() - acknowledged.keys()

        assert refused, "No transfer was refused, so nothing was seen of those."
        assert not lost, f"{self.backend} lost {len(lost)} of {len(acknowledged)} acknowledged transfers."
        assert not never_told, f"{self.backend} made {len(never_told)} transfers that it refused."
        assert len(made) == len(kept), f"{self.backend} made a transfer twice."
        assert kept == acknowledged, f"{self.backend} answered with the id of another transfer."
        assert balances == expected, f"{self.backend}: the balances are not what the transfers come to."
        assert sum(balances.values()) == START * ACCOUNTS, f"{self.backend} lost or made money."

    def _work(self, seed: int, over: Event) -> None:
        random = Random(seed)  # noqa: S311 - not a secret
        try:
            for number in count():
                if over.is_set():
                    return
                source, target = random.sample(self.accounts, 2)
                cents = random.randint(1, 500)
                # Now and then one is for more than there is, which no retry changes.
                amount = START * ACCOUNTS + 1 if number % 10 == 9 else Decimal(cents) / 100
                self._transfer(source, target, str(amount))
        except BaseException as error:  # noqa: BLE001 - it is the test's, which waits elsewhere
            self.failures.append(error)

    def _raise(self) -> None:
        """Fail as the first client did."""
        if self.failures:
            raise self.failures[0]

    def _transfer(self, source: int, target: int, amount: str) -> None:
        """Ask under one key until the answer says what became of it."""
        key = secrets.token_hex(16)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            begun = time.monotonic()
            try:
                answer = self.stack.transfer(self.backend, source, target, amount, key=key)
                status, id_ = answer.status, answer.json.get("id")
                assert status in {201, 409, 503}, answer.json
            except OSError:
                status, id_ = 0, None
            attempt = Attempt(key, begun, time.monotonic(), status, id_)
            self.attempts.append(attempt)
            if not attempt.cut:
                return
            time.sleep(0.1)  # What is away refuses at once.
        message = f"{self.backend} has not said for {SECONDS} s what became of a transfer."
        raise TimeoutError(message)
