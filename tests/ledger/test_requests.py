"""Invalid requests are answered with a problem that names the field, without the database.

The app of these tests has no database: an answer that needed it would be a 503.
"""

import itertools
import json
from collections.abc import Mapping, Sequence

import pytest
from flask.testing import FlaskClient

from app import create_app

ADA = {"owner": "Ada", "currency": "EUR", "balance": "12.50"}
ORDER = {"from_account_id": 1, "to_account_id": 2, "amount": "1", "note": "", "idempotency_key": "key"}

NOT_TEXT: list[object] = [None, 1, True, ["Ada"], {"a": "Ada"}, "a\0b", "\ud800", "\udfff tail"]
NOT_MONEY: list[object] = [
    None,
    1,
    12.5,
    True,
    ["1"],
    "",
    " 1",
    "1 ",
    "1\n",
    "+1",
    "-1",
    "-0",
    "1.",
    ".5",
    "01",
    "1e5",
]
NOT_MONEY += ["1E-2", "1,5", "1_000", "0x1", "NaN", "Infinity", "-Infinity", "0.00001", "1000000000000"]
NOT_MONEY += ["\u0661", "1" * 5000]
NOT_IDS = [None, "1", 1.5, True, [1], 0, -1, 2**63, 10**400, 1e300, 2.0**60]


@pytest.fixture(scope="module")
def client(client_class: type[FlaskClient]) -> FlaskClient:
    app = create_app({"DATABASE_URI": "postgresql://nobody@127.0.0.1:1/nothing"})
    app.test_client_class = client_class
    return app.test_client()


def test_the_app_of_these_tests_has_no_database(client: FlaskClient) -> None:
    assert client.post("/api/transfers", json=ORDER).status_code == 503


VALID: dict[str, Mapping[str, object]] = {"accounts": ADA, "transfers": ORDER}
WRONG: dict[str, dict[str, Sequence[object]]] = {
    "accounts": {
        "owner": [*NOT_TEXT, "", "a" * 201],
        "balance": NOT_MONEY,
        "currency": [*NOT_TEXT, "", "EU", "EURO", "eur", "E R", "EUR\n", "\uff25\uff35\uff32"],
        **{unknown: ["x"] for unknown in ("id", "Owner", "\u00f6wner")},
    },
    "transfers": {
        "from_account_id": NOT_IDS,
        "to_account_id": NOT_IDS,
        "amount": [*NOT_MONEY, "0", "0.0", "0.0000"],
        "note": [*NOT_TEXT, "a" * 1001],
        "idempotency_key": [*NOT_TEXT, "", "a" * 201],
        "created_at": ["2026-11-22T12:00:00Z"],
    },
}


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (kind, field, value)
        for kind, fields in WRONG.items()
        for field, values in fields.items()
        for value in values
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, kind: str, field: str, value: object) -> None:
    answer = client.post(f"/api/{kind}", json={**VALID[kind], field: value})

    assert answer.status_code == 422
    assert answer.mimetype == "application/problem+json"
    assert list(answer.json["errors"]) == [field]  # type: ignore[index]


@pytest.mark.parametrize("field", ["from_account_id", "to_account_id", "amount", "idempotency_key"])
def test_a_missing_field_of_a_transfer_is_named(client: FlaskClient, field: str) -> None:
    answer = client.post(
        "/api/transfers", json={name: value for name, value in ORDER.items() if name != field}
    )

    assert (answer.status_code, list(answer.json["errors"])) == (422, [field])  # type: ignore[index]


def test_all_wrong_fields_are_named_at_once(client: FlaskClient) -> None:
    answer = client.post("/api/accounts", json={"currency": "euro", "balance": "-1", "colour": "red"})

    assert set(answer.json["errors"]) == {"owner", "currency", "balance", "colour"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b'{"owner": "Ada"} {}', "body"),
        (b'{"owner": "Ada",}', "body"),
        (b"{'owner': 'Ada'}", "body"),
        (b'{"owner": "\xff"}', "body"),
        (b'{"owner": "\xed\xa0\x80"}', "body"),
        (json.dumps(ADA).encode("utf-16"), "body"),
        (b"\xef\xbb\xbf" + json.dumps(ADA).encode(), "body"),
        (b"[" * 30_000, "body"),
        (b'{"balance": ' + b"1" * 5000 + b"}", "body"),
        (b'{"balance": NaN}', "balance"),
        (b'{"balance": -Infinity}', "balance"),
        (b'{"balance": "1", "owner": "Ada", "owner": "Bob", "currency": "EUR"}', "owner"),
    ],
)
def test_a_body_that_is_not_json_is_a_bad_request(client: FlaskClient, body: bytes, field: str) -> None:
    answer = client.post("/api/accounts", data=body, content_type="application/json")

    assert answer.status_code == 400
    assert list(answer.json["errors"]) == [field]  # type: ignore[index]


@pytest.mark.parametrize("body", [b"null", b"1", b'"Ada"', b"[]", b"true", b"NaN"])
def test_a_body_that_is_not_an_object_is_refused(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/api/accounts", data=body, content_type="application/json")

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["body"]  # type: ignore[index]


def test_a_field_name_with_a_lone_surrogate_is_escaped_in_the_problem(client: FlaskClient) -> None:
    answer = client.post(
        "/api/accounts", data=json.dumps({**ADA, "\ud800": 1}), content_type="application/json"
    )

    assert list(answer.json["errors"]) == ["\\ud800"]  # type: ignore[index]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_a_body_of_another_type_is_unsupported(client: FlaskClient, content_type: str | None) -> None:
    answer = client.post("/api/accounts", data=json.dumps(ADA), content_type=content_type)

    assert answer.status_code == 415
    assert answer.mimetype == "application/problem+json"


def test_a_body_that_is_too_long_is_refused_unread(client: FlaskClient) -> None:
    answer = client.post("/api/accounts", json={**ADA, "owner": "a" * 70_000})

    assert answer.status_code == 413
    assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    "account_id", ["0", "-1", "abc", "1.0", "01", "%D9%A1", "%00", "1%0A", 2**63, "9" * 400]
)
def test_an_impossible_account_id_is_unknown(client: FlaskClient, account_id: object) -> None:
    answer = client.get(f"/api/accounts/{account_id}")

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert list(answer.json["errors"]) == ["account_id"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/accounts"),
        ("POST", "/api/transfers"),
        ("GET", "/api/accounts"),
        ("GET", "/api/accounts/1"),
        ("GET", "/api/transfers"),
    ],
)
def test_an_unknown_parameter_is_named(client: FlaskClient, method: str, path: str) -> None:
    body = ADA if method == "POST" else None

    answer = client.open(f"{path}?pgae=2", method=method, json=body)

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["pgae"]  # type: ignore[index]


UNKNOWN_PATHS = ["/", "/api", "/api/", "/api/accounts/", "/api//accounts", "/api/accounts/1/x", "/static/x"]


@pytest.mark.parametrize("path", [*UNKNOWN_PATHS, "/%00", "/%ff"])
def test_an_unknown_path_is_a_problem(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == 404  # type: ignore[index]


def test_a_method_that_is_not_allowed_is_a_problem_with_the_allowed_methods(client: FlaskClient) -> None:
    answer = client.delete("/api/accounts")

    assert answer.status_code == 405
    assert answer.mimetype == "application/problem+json"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST", "HEAD", "OPTIONS"}


NOT_PAGES = ["", "0", "-1", "+1", "1.0", "1.5", "1e3", "abc", "null", "01", "%D9%A1", "1_0", "%FF", "%00"]
NOT_PAGES += ["9" * 5000]


@pytest.mark.parametrize("path", ["/api/accounts", "/api/transfers"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(["page", "per_page"], NOT_PAGES),
        ("per_page", "101"),
        ("page", "1000000001"),
        ("page", "9223372036854775808"),
        ("page", "1&page=1"),
    ],
)
def test_a_bad_page_is_named(client: FlaskClient, path: str, field: str, value: str) -> None:
    answer = client.get(f"{path}?{field}={value}")

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]  # type: ignore[index]
