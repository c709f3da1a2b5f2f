"""The app writes again after a failover, without a restart, and keeps every acknowledged transfer."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple

import pytest
from sqlalchemy.engine import URL

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.pairs import Pair
from tests.failover.figures import Figures, Round
from tests.failover.ledgers import ledger_on, through_driver, through_gate
from tests.stack.clients import CLIENTS, Clients
from tests.stack.stack import SECONDS, eventually

# The app writes again at the latest so many seconds after the first direct write on the new primary.
LONGEST_OUTAGE = 1.0
# Transfers that are acknowledged before the failure, and while the standby lags.
SOME = 50

LABELS = {"postgresql": "PostgreSQL", "mysql": "MySQL", "mariadb": "MariaDB"}

StartPair = Callable[..., tuple[Pair, float]]


def killed(pair: Pair, _clients: Clients) -> None:
    pair.primary.kill()


def demoted(pair: Pair, _clients: Clients) -> None:
    session = pair.primary.session()
    pair.demote()
    assert pair.primary.session() == session, "The demotion closed connections, which is no trap."


def killed_while_the_standby_applies_late(pair: Pair, clients: Clients) -> None:
    pair.stop_applying()
    wait_for_transfers(clients, SOME)
    pair.primary.kill()


def killed_while_the_standby_is_cut_off(pair: Pair, clients: Clients) -> None:
    pair.stop_receiving()
    wait_for_transfers(clients, SOME)
    pair.primary.kill()


class Failure(NamedTuple):
    label: str
    happen: Callable[[Pair, Clients], None]


KILLED = Failure("primary killed", killed)
DEMOTED = Failure("primary demoted, still answers", demoted)
LATE = Failure("standby applies late, primary killed", killed_while_the_standby_applies_late)
CUT_OFF = Failure("standby cut off, primary killed", killed_while_the_standby_is_cut_off)


class Route(NamedTuple):
    label: str
    url: Callable[[Pair], URL]


GATE = Route("HAProxy", through_gate)
DRIVER = Route("both hosts", through_driver)


# PyMySQL takes one host.
WAYS = [("postgresql", GATE), ("postgresql", DRIVER), ("mysql", GATE), ("mariadb", GATE)]


@pytest.mark.parametrize(
    ("backend", "route"), WAYS, ids=["postgresql-gate", "postgresql-driver", "mysql-gate", "mariadb-gate"]
)
@pytest.mark.parametrize("failure", [KILLED, DEMOTED, LATE], ids=["killed", "demoted", "late"])
def test_a_failover_with_synchronous_replication_loses_nothing(  # noqa: PLR0913, PLR0917 - parameters
    failure: Failure,
    backend: str,
    route: Route,
    rounds: range,
    start_pair: StartPair,
    report_figures: Callable[[Figures], None],
) -> None:
    figures = Figures(LABELS[backend], "synchronous", failure.label, route.label)
    for _ in rounds:
        pair, up = start_pair(backend)
        with ledger_on(route.url(pair)) as ledger:
            clients = Clients(ledger, "ledger")
            again = fail_over(pair, clients, failure)
            clients.check()
            figures.rounds.append(round_of(clients, up, again, lost=0))

    assert max(each.again for each in figures.rounds) <= LONGEST_OUTAGE
    report_figures(figures)


@pytest.mark.parametrize("backend", LABELS)
@pytest.mark.parametrize("failure", [KILLED, CUT_OFF], ids=["killed", "cut-off"])
def test_a_failover_with_asynchronous_replication_keeps_the_total(
    failure: Failure,
    backend: str,
    rounds: range,
    start_pair: StartPair,
    report_figures: Callable[[Figures], None],
) -> None:
    figures = Figures(LABELS[backend], "asynchronous", failure.label, GATE.label)
    for _ in rounds:
        pair, up = start_pair(backend, synchronous=False)
        with ledger_on(GATE.url(pair)) as ledger:
            clients = Clients(ledger, "ledger")
            again = fail_over(pair, clients, failure)
            found = clients.compare()
            clients.check_stored(found)
            figures.rounds.append(round_of(clients, up, again, lost=len(found.lost)))

    assert max(each.again for each in figures.rounds) <= LONGEST_OUTAGE
    report_figures(figures)


def fail_over(pair: Pair, clients: Clients, failure: Failure) -> float:
    """Let the primary fail under load and promote the standby.

    Return the seconds from the first direct write on the new primary to the first transfer that the app
    acknowledges.
    """
    pair.primary.execute("CREATE TABLE direct_writes (id INTEGER)")
    clients.open_accounts()
    # A standby that is cut off before it has the tables could take no write after its promotion.
    pair.wait_for_standby()
    with clients.transferring():
        wait_for_transfers(clients, SOME)
        failure.happen(pair, clients)
        failed = time.monotonic()
        with direct_writes(pair) as written:
            pair.promote()
        eventually(lambda: clients.acknowledged_since(max(failed, written[0]), CLIENTS))
    # Nobody takes writes between the failure and the promotion.
    first = min(made.ended for made in clients.attempts if made.begun > failed and made.status == 201)
    return max(0.0, first - written[0])


@contextmanager
def direct_writes(pair: Pair) -> Iterator[list[float]]:
    """Try to write on the standby; at the end of the `with` block the moment of the first write is known."""
    moments: list[float] = []
    refusals: list[Exception] = []

    def write() -> None:
        deadline = time.monotonic() + SECONDS
        backend = BACKENDS[pair.backend.name]
        connection = Connection(pair.standby.url, options=backend.connect_options)
        while not moments and time.monotonic() < deadline:
            try:
                connection.rows("INSERT INTO direct_writes VALUES (1)")
                moments.append(time.monotonic())
            except Exception as error:  # noqa: BLE001 - the driver's: the server is a standby still
                refusals[:] = [error]
                time.sleep(0.005)
        connection.close()

    writer = Thread(target=write)
    writer.start()
    try:
        yield moments
    finally:
        writer.join()
    assert moments, f"The promoted standby took no direct write within {SECONDS} s: {refusals}"


def wait_for_transfers(clients: Clients, times: int) -> None:
    now = time.monotonic()
    eventually(lambda: clients.acknowledged_since(now, times))


def round_of(clients: Clients, up: float, again: float, *, lost: int) -> Round:
    return Round(
        up=up,
        again=again,
        failed=sum(attempt.cut for attempt in clients.attempts),
        acknowledged=sum(attempt.status == 201 for attempt in clients.attempts),
        lost=lost,
    )
