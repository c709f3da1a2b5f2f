"""The standby of a real pair serves `replica()`: it refuses writes, and its rows may be old."""

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from app.database.replica import replica
from app.faults import Fault, fault_of
from app.ledger import open_account
from app.models import Account
from flask_sqlalchemy_testbed.servers.pairs import Pair
from tests.failover.ledgers import Ledger, ledger_on

COUNT = select(func.count(Account.id))


@pytest.fixture(params=["postgresql", "mysql", "mariadb"])
def pair(request: pytest.FixtureRequest, start_pair: Callable[..., tuple[Pair, float]]) -> Pair:
    return start_pair(request.param)[0]


@pytest.fixture
def ledger(pair: Pair) -> Iterator[Ledger]:
    with ledger_on(pair.url, DATABASE_REPLICA_URI=pair.standby.url) as ledger:
        yield ledger


def test_the_standby_refuses_every_write_that_is_no_flush(ledger: Ledger, pair: Pair) -> None:
    pair.wait_for_standby(applied=True)
    row = {"owner": "Ada", "currency": "EUR", "balance": Decimal(1)}

    with ledger.app.app_context(), replica() as session, pytest.raises(DBAPIError) as raised:
        session.execute(insert(Account).values(row))

    assert fault_of(raised.value) is Fault.AWAY
    assert "read-only" in str(raised.value)


def test_the_next_request_may_read_older_rows_from_the_standby(ledger: Ledger, pair: Pair) -> None:
    pair.wait_for_standby(applied=True)
    pair.stop_applying()
    with ledger.app.app_context():
        open_account(owner="Ada", currency="EUR", balance=Decimal(1))

    with ledger.app.app_context(), replica() as session:
        assert session.scalar(COUNT) == 0

    pair.resume_applying()
    pair.wait_for_standby(applied=True)
    with ledger.app.app_context(), replica() as session:
        assert session.scalar(COUNT) == 1
