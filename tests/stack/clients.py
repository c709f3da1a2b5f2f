"""Make transfers with several clients, and compare their responses with the database."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from random import Random
from threading import Event, Thread

from tests.stack.stack import SECONDS, Stack

CLIENTS = 8
ACCOUNTS = 10
START = 1000


@dataclass(frozen=True)
class Attempt:
    """One request for a transfer: status 201, 409 or 503, or 0 if there was no response."""

    key: str
    begun: float
    ended: float
    status: int
    id: int | None = None

    @property
    def cut(self) -> bool:
        return self.status in {0, 503}


@dataclass
class Clients:
    """Clients that transfer money between accounts of their own on one backend."""

    stack: Stack
    backend: str
    accounts: list[int] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def open_accounts(self) -> None:
        self.accounts = [self.stack.open_account(self.backend, str(START)) for _ in range(ACCOUNTS)]

    @contextmanager
    def transferring(self) -> Iterator[None]:
        """Make transfers during the `with` block; at its end none is open."""
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

    def acknowledged_since(self, moment: float, times: int = 1) -> bool:
        """Return whether `times` transfers that began after that moment were acknowledged."""
        self._raise()
        made = (attempt.begun > moment for attempt in list(self.attempts) if attempt.status == 201)
        return sum(made) >= times

    def check(self) -> None:
        """Assert that each acknowledged transfer is stored once, and no refused transfer.

        No money is lost.
        """
        acknowledged = {attempt.key: attempt.id for attempt in self.attempts if attempt.status == 201}
        refused = {attempt.key for attempt in self.attempts if attempt.status == 409}
        stored = self.stack.items(self.backend, "transfers")
        made = [transfer for transfer in stored if transfer["from_account_id"] in self.accounts]
        expected = dict.fromkeys(self.accounts, Decimal(START))
        for transfer in made:
            expected[transfer["from_account_id"]] -= Decimal(transfer["amount"])
            expected[transfer["to_account_id"]] += Decimal(transfer["amount"])
        balances = {id_: Decimal(self.stack.balance(self.backend, id_)) for id_ in self.accounts}

        kept = {transfer["idempotency_key"]: transfer["id"] for transfer in made}
        lost, unacknowledged = acknowledged.keys() - kept.keys(), kept.keys() - acknowledged.keys()

        assert refused, "No transfer was refused: the test proves nothing about refused ones."
        assert not lost, f"{self.backend} lost {len(lost)} of {len(acknowledged)} acknowledged transfers."
        assert not unacknowledged, f"{self.backend} made {len(unacknowledged)} transfers that it refused."
        assert len(made) == len(kept), f"{self.backend} made a transfer twice."
        assert kept == acknowledged, f"{self.backend} answered with the id of another transfer."
        assert balances == expected, f"{self.backend}: the balances differ from the sum of the transfers."
        assert sum(balances.values()) == START * ACCOUNTS, f"{self.backend} lost or made money."

    def _work(self, seed: int, over: Event) -> None:
        random = Random(seed)  # noqa: S311 - not a secret
        try:
            for number in count():
                if over.is_set():
                    return
                source, target = random.sample(self.accounts, 2)
                cents = random.randint(1, 500)
                # Some transfers exceed the balance, and every repetition is refused.
                amount = START * ACCOUNTS + 1 if number % 10 == 9 else Decimal(cents) / 100
                self._transfer(source, target, str(amount))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.failures.append(error)

    def _raise(self) -> None:
        """Raise the error of the first client that failed."""
        if self.failures:
            raise self.failures[0]

    def _transfer(self, source: int, target: int, amount: str) -> None:
        """Repeat a request with one key until it is acknowledged or refused."""
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
            time.sleep(0.1)  # A stopped server refuses at once.
        message = f"{self.backend} did not acknowledge or refuse a transfer within {SECONDS} s."
        raise TimeoutError(message)
