"""Make transfers with several clients, and compare their responses with the database."""

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from random import Random
from threading import Event, Thread

from tests.stack.api import Api
from tests.stack.stack import SECONDS

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


@dataclass(frozen=True)
class Comparison:
    """The responses of all clients beside the content of the database."""

    acknowledged: int
    refused: int
    lost: set[str]
    """The keys of acknowledged transfers that are not stored."""
    unacknowledged: set[str]
    """The keys of stored transfers that no response acknowledged."""
    twice: int
    confused: set[str]
    """The keys of acknowledged transfers that are stored with another id."""
    balances: Mapping[int, Decimal]
    expected: Mapping[int, Decimal]
    """The balances that the stored transfers add up to."""


@dataclass
class Clients:
    """Clients that transfer money between accounts of their own on one backend."""

    stack: Api
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
        found = self.compare()

        assert found.refused, "No transfer was refused: the test proves nothing about refused ones."
        assert not found.lost, (
            f"{self.backend} lost {len(found.lost)} of {found.acknowledged} acknowledged transfers."
        )
        self.check_stored(found)

    def check_stored(self, found: Comparison) -> None:
        """Assert that what is stored was acknowledged, is there once, and adds up."""
        assert not found.unacknowledged, (
            f"{self.backend} made {len(found.unacknowledged)} transfers that it refused."
        )
        assert not found.twice, f"{self.backend} made a transfer twice."
        assert not found.confused, f"{self.backend} answered with the id of another transfer."
        assert found.balances == found.expected, (
            f"{self.backend}: the balances differ from the sum of the transfers."
        )
        assert sum(found.balances.values()) == START * ACCOUNTS, f"{self.backend} lost or made money."

    def compare(self) -> Comparison:
        """Compare the responses with the database."""
        acknowledged = {attempt.key: attempt.id for attempt in self.attempts if attempt.status == 201}
        stored = self.stack.items(self.backend, "transfers")
        made = [transfer for transfer in stored if transfer["from_account_id"] in self.accounts]
        expected = dict.fromkeys(self.accounts, Decimal(START))
        for transfer in made:
            expected[transfer["from_account_id"]] -= Decimal(transfer["amount"])
            expected[transfer["to_account_id"]] += Decimal(transfer["amount"])
        kept = {transfer["idempotency_key"]: transfer["id"] for transfer in made}
        return Comparison(
            acknowledged=len(acknowledged),
            refused=sum(attempt.status == 409 for attempt in self.attempts),
            lost=acknowledged.keys() - kept.keys(),
            unacknowledged=kept.keys() - acknowledged.keys(),
            twice=len(made) - len(kept),
            confused={key for key in acknowledged.keys() & kept.keys() if acknowledged[key] != kept[key]},
            balances={id_: Decimal(self.stack.balance(self.backend, id_)) for id_ in self.accounts},
            expected=expected,
        )

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
