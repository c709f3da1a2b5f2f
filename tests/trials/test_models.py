from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from flask import Flask

from app import create_app
from app.database import get_engine
from trials.models import create_tables_on_first_contact

AT_ONCE = 8


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the folder of the database; the database is away until the folder is made."""
    return tmp_path / "place"


@pytest.fixture
def app(place: Path) -> Iterator[Flask]:
    app = create_app({"DATABASE_URI": f"sqlite:///{place}/ledger.db"})
    with app.app_context():
        engine = get_engine()
    create_tables_on_first_contact(engine)
    yield app
    engine.dispose()


def test_nothing_connects_before_a_request_does(app: Flask, place: Path) -> None:
    place.mkdir()

    assert app.test_client().get("/healthz").status_code == 200
    assert not list(place.iterdir())


def test_requests_are_answered_503_until_the_database_is_up(app: Flask, place: Path) -> None:
    away = app.test_client().get("/api/accounts")
    place.mkdir()
    there = app.test_client().get("/api/accounts")

    assert (away.status_code, there.status_code) == (503, 200)


def test_concurrent_first_requests_find_the_tables(app: Flask, place: Path) -> None:
    place.mkdir()
    all_there = Barrier(AT_ONCE, timeout=60)

    def ask(_: int) -> int:
        all_there.wait()
        return app.test_client().get("/api/accounts").status_code

    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(ask, range(AT_ONCE)))

    assert answers == [200] * AT_ONCE
