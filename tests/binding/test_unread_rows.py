"""Promise 10: the unread rows of a streamed result hold up nothing."""

import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, Select, event, func, insert, select
from sqlalchemy.exc import DBAPIError

from app.database import db_session
from app.database.engines import make_engine

from .marker import Base, Marker

# psycopg 3 warns of each cursor on the server that is not closed.
pytestmark = pytest.mark.filterwarnings("ignore:.*ServerCursor.*:ResourceWarning")

# 10 * 9^6 rows; to read them all takes PyMySQL ten seconds or more.
TABLES = 7
# Much less than that, and much more than a new connection takes.
SECONDS = 4.0


@pytest.fixture
def engine(database_uri: str) -> Iterator[Engine]:
    engine = make_engine(database_uri, pool_size=1, max_overflow=0)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Marker), [{"name": f"{number}"} for number in range(10)])
    yield engine
    engine.dispose()


def many_rows(tables: int = TABLES) -> Select[Any]:
    """Return a query that joins ten rows with themselves, for the server to make many."""
    aliases = [Marker.__table__.alias() for _ in range(tables)]
    query = select(aliases[0].c.name)
    for one, next_one in pairwise(aliases):
        query = query.join(next_one, one.c.id != next_one.c.id)
    return query.execution_options(yield_per=10)


def opened_on(engine: Engine) -> list[object]:
    opened: list[object] = []
    event.listen(engine, "connect", lambda *_: opened.append(1))
    return opened


def test_a_request_that_leaves_rows_unread_ends_at_once(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    with app.app_context():
        db_session.execute(insert(Marker), [{"name": f"{number}"} for number in range(10)])
        db_session.commit()

    @app.get("/first")
    def first() -> str:
        for name in db_session.scalars(many_rows()):
            return str(name)
        return ""

    app.add_url_rule("/count", view_func=lambda: str(db_session.scalar(select(func.count(Marker.id)))))
    began = time.monotonic()

    assert app.test_client().get("/first").text in set("0123456789")
    assert app.test_client().get("/count").text == "10"
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("close", [True, False])
def test_a_transaction_that_leaves_rows_unread_ends_at_once(engine: Engine, *, close: bool) -> None:
    began = time.monotonic()
    with engine.connect() as connection:
        result = connection.execute(many_rows())
        result.fetchone()
        if close:
            result.close()
        connection.rollback()
        assert connection.scalar(select(func.count(Marker.id))) == 10

    assert time.monotonic() - began < SECONDS


def test_a_statement_after_an_abandoned_result_is_in_the_same_transaction(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(insert(Marker).values(name="kept"))
        result = connection.execute(select(Marker.name).execution_options(yield_per=1))
        result.fetchone()
        result.close()
        connection.execute(insert(Marker).values(name="too"))
        result = connection.execute(select(Marker.name).execution_options(yield_per=1))
        result.fetchone()
        result.close()
        connection.commit()

    with engine.connect() as connection:
        assert connection.scalar(select(func.count(Marker.id))) == 12


def test_a_few_unread_rows_cost_no_connection(engine: Engine) -> None:
    opened = opened_on(engine)
    with engine.connect() as connection:
        connection.execute(select(Marker.name).execution_options(yield_per=1)).fetchone()

    with engine.connect() as connection:
        assert connection.scalar(select(func.count(Marker.id))) == 10
    assert opened == []


def test_a_result_that_is_read_after_its_transaction_is_not_cut_short(engine: Engine) -> None:
    with engine.connect() as connection:
        result = connection.execute(many_rows(4))
        result.fetchone()
        connection.rollback()

        with contextlib.suppress(DBAPIError):
            assert len(result.fetchall()) == 10 * 9**3 - 1


def test_a_result_that_is_read_to_its_end_keeps_its_connection(engine: Engine) -> None:
    opened = opened_on(engine)
    with engine.connect() as connection:
        rows = connection.execute(select(Marker.name).execution_options(yield_per=3)).all()

    assert len(rows) == 10
    assert opened == []
    assert engine.pool.checkedin() == 1  # type: ignore[attr-defined] # QueuePool's own
