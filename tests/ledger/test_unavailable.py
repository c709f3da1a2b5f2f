"""An unavailable database is a 503 with Retry-After; an unexpected error is a bare 500."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, make_url, text
from werkzeug.test import TestResponse

from app import create_app
from app.database import db_session, drop_all, get_engine
from app.models import Account
from flask_sqlalchemy_testbed.backends import Backend

Order = Callable[..., dict[str, Any]]
Balance = Callable[[int], str]

ADA = {"owner": "Ada", "currency": "EUR", "balance": "12.50"}
ORDER = {"from_account_id": 1, "to_account_id": 2, "amount": "1", "note": "", "idempotency_key": "key"}
REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/readyz", None),
    ("GET", "/api/accounts", None),
    ("GET", "/api/accounts/1", None),
    ("GET", "/api/transfers", None),
    ("POST", "/api/accounts", ADA),
    ("POST", "/api/transfers", ORDER),
]

# Makes each database wait for a lock for a short time only.
SHORT_LOCK_TIMEOUT = {
    "sqlite": "PRAGMA busy_timeout = 200",
    "postgresql": "SET lock_timeout = '200ms'",
    "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
}


def assert_unavailable(answer: TestResponse) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.mimetype == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert "Traceback" not in answer.text


@pytest.fixture
def away(database_uri: str, tmp_path: Path, client_class: type[FlaskClient]) -> FlaskClient:
    """Return the client of an app whose database is away.

    Its port is closed, or its path is a folder.
    """
    url = make_url(database_uri)
    url = url.set(port=1) if url.host else url.set(database=str(tmp_path))
    app = create_app({"DATABASE_URI": url.render_as_string(hide_password=False), "TESTING": True})
    app.test_client_class = client_class
    return app.test_client()


def test_requests_that_need_a_database_that_is_away_are_unavailable(
    away: FlaskClient, database_uri: str
) -> None:
    for method, path, body in REQUESTS:
        answer = away.open(path, method=method, json=body)

        assert_unavailable(answer)
        assert f":{make_url(database_uri).password}@" not in answer.text


def test_the_process_is_healthy_while_its_database_is_away(away: FlaskClient) -> None:
    assert away.get("/healthz").json == {"status": "ok"}
    assert away.get("/openapi.json").status_code == 200


def test_a_probe_of_the_process_takes_no_connection(app: Flask) -> None:
    taken = []
    with app.app_context():
        event.listen(get_engine(), "checkout", lambda *_: taken.append(1))

    assert app.test_client().get("/healthz").status_code == 200
    assert not taken


def test_a_database_that_is_away_is_logged_in_one_line(
    away: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    away.get("/readyz")

    (record,) = caplog.records
    assert record.message.startswith("The database is away: ")
    assert "\n" not in record.message
    assert record.exc_info is None


def test_requests_that_need_a_connection_of_an_exhausted_pool_are_unavailable(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(DATABASE_ENGINE_OPTIONS={"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.01})
    with app.app_context():
        engine = get_engine()

    with engine.connect():
        for method, path, body in REQUESTS:
            assert_unavailable(app.test_client().open(path, method=method, json=body))
    assert app.test_client().get("/readyz").status_code == 200


def test_a_transfer_that_gets_no_lock_is_unavailable_and_moves_nothing(
    make_app: Callable[..., Flask],
    order: Order,
    balance: Balance,
    testbed_backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shorten_lock_timeout(connection: Any, _record: object) -> None:
        connection.cursor().execute(testbed_backend.of(SHORT_LOCK_TIMEOUT))
        connection.commit()

    monkeypatch.setattr("app.retry.TRIES", 1)
    body = order(amount="25.00")
    app = make_app()
    with app.app_context():
        engine = get_engine()
        db_session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        db_session.get(Account, body["from_account_id"], with_for_update=True)
        event.listen(engine, "connect", shorten_lock_timeout)
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(app.test_client().post, "/api/transfers", json=body).result(60)

    assert_unavailable(answer)
    assert balance(body["from_account_id"]) == "100.00"
    assert app.test_client().post("/api/transfers", json=body).status_code == 201


def test_a_missing_table_is_an_unexpected_error_without_details(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(TESTING=False)
    with app.app_context():
        drop_all()

    answer = app.test_client().get("/api/accounts")

    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert "account" not in answer.json["detail"]  # type: ignore[index]
    assert caplog.records[-1].exc_info


def test_an_unexpected_error_is_a_problem_without_details(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(TESTING=False)

    @app.get("/fails")
    def fails() -> str:
        db_session.add(Account(owner="Ada", currency="EUR", balance=Decimal(1)))
        db_session.flush()
        secret = "a secret"
        raise KeyError(secret)

    answer = app.test_client().get("/fails")

    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert "secret" not in answer.text
    assert caplog.records[-1].exc_info
    assert app.test_client().get("/api/accounts").json["total"] == 0  # type: ignore[index]


def test_an_unexpected_error_is_raised_under_testing(app: Flask) -> None:
    @app.get("/fails")
    def fails() -> str:
        db_session.execute(text("SELECT nonsense"))
        return ""

    with pytest.raises(Exception, match="nonsense"):
        app.test_client().get("/fails")
