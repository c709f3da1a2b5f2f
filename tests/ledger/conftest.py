"""Fixtures of the ledger's tests: an app, and a client that checks each answer."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_schema_validator import OAS31Validator
from sqlalchemy import create_engine
from werkzeug.test import TestResponse

from app import create_app
from app.database import Base, get_engine
from tests.pooled import documented_settings  # noqa: F401 - a fixture

SECONDS = 60


class DocumentedClient(FlaskClient):
    """Fail the test if ``/openapi.json`` does not describe an answer."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        response = super().open(*args, **options)
        document = self.application.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec.to_dict()
        check_documented(document, response)
        return response


def check_documented(document: dict[str, Any], response: TestResponse) -> None:
    request = response.request
    described = next(
        (
            operations[request.method.lower()]["responses"]
            for template, operations in document["paths"].items()
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request.path)
            and request.method.lower() in operations
        ),
        None,
    )
    if described is None:
        return
    assert str(response.status_code) in described, f"{response.status} is not documented: {response.text}"
    answer = described[str(response.status_code)]
    if "$ref" in answer:
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer["content"][response.mimetype]["schema"]
    OAS31Validator({**schema, "components": document["components"]}).validate(response.json)
    assert set(answer.get("headers", ())) <= set(response.headers.keys())


@pytest.fixture(scope="session")
def testbed_schema() -> Callable[[str], None]:
    """Create the tables once, not for each test."""

    def create(uri: str) -> None:
        engine = create_engine(uri)
        Base.metadata.create_all(engine)
        engine.dispose()

    return create


@pytest.fixture(scope="session")
def client_class() -> type[FlaskClient]:
    return DocumentedClient


@pytest.fixture
def make_app(database_uri: str) -> Iterator[Callable[..., Flask]]:
    """Create an app on the test's database; the arguments are its configuration.

    Its engine is disposed of after the test: code outside contexts needs exactly one live engine.
    """
    made = []

    def make(**config: object) -> Flask:
        app = create_app({"DATABASE_URI": database_uri, "TESTING": True, **config})
        app.test_client_class = DocumentedClient
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            get_engine().dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def open_account(client: FlaskClient) -> Callable[..., int]:
    """Open an account through the API and return its id."""

    def open_one(balance: str = "100.00", *, currency: str = "EUR", owner: str = "Ada") -> int:
        answer = client.post("/api/accounts", json={"owner": owner, "currency": currency, "balance": balance})
        assert answer.status_code == 201, answer.text
        account_id: int = answer.json["id"]  # type: ignore[index]
        return account_id

    return open_one


@pytest.fixture
def order(open_account: Callable[..., int]) -> Callable[..., dict[str, Any]]:
    """Return the body of a transfer, by default between two new accounts."""
    numbers = count(1)

    def write(**fields: object) -> dict[str, Any]:
        body = {"amount": "25.00", "note": "for tea", "idempotency_key": f"order {next(numbers)}", **fields}
        for name in ("from_account_id", "to_account_id"):
            if name not in body:
                body[name] = open_account()
        return body

    return write


@pytest.fixture
def balance(client: FlaskClient) -> Callable[[int], str]:
    """Return the balance of an account, read through the API."""
    return lambda account_id: client.get(f"/api/accounts/{account_id}").json["balance"]  # type: ignore[index]


@pytest.fixture
def post_at_once(app: Flask) -> Callable[[Sequence[dict[str, Any]]], list[TestResponse]]:
    """Post all transfers at once, from a thread each; return the answers in order."""

    def post(bodies: Sequence[dict[str, Any]]) -> list[TestResponse]:
        barrier = Barrier(len(bodies))

        def one(body: dict[str, Any]) -> TestResponse:
            barrier.wait(SECONDS)
            return app.test_client().post("/api/transfers", json=body)

        with ThreadPoolExecutor(len(bodies)) as threads:
            return list(threads.map(one, bodies, timeout=SECONDS))

    return post
