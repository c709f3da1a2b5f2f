from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

OpenAccount = Callable[..., int]
Order = Callable[..., dict[str, Any]]
Balance = Callable[[int], str]


def test_a_transfer_moves_the_money(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance
) -> None:
    ada, bob = open_account("100.00"), open_account("0.50")

    answer = client.post("/api/transfers", json=order(from_account_id=ada, to_account_id=bob, amount="25.25"))

    assert answer.status_code == 201
    assert (balance(ada), balance(bob)) == ("74.75", "25.75")


def test_the_answer_to_a_transfer_is_the_transfer(client: FlaskClient, order: Order) -> None:
    body = order()
    before = datetime.now(UTC)

    answer = client.post("/api/transfers", json=body).json
    assert answer is not None
    created_at = datetime.fromisoformat(answer["created_at"])

    assert answer == {"id": answer["id"], "created_at": answer["created_at"], **body}
    assert before <= created_at <= datetime.now(UTC)
    assert created_at.utcoffset() == timedelta(0)


def test_a_listed_transfer_equals_the_answer_to_its_order(client: FlaskClient, order: Order) -> None:
    made = client.post("/api/transfers", json=order(note="für 🍵")).json

    assert client.get("/api/transfers").json["items"] == [made]  # type: ignore[index]


def test_a_transfer_needs_no_note(client: FlaskClient, order: Order) -> None:
    body = order()
    del body["note"]

    assert client.post("/api/transfers", json=body).json["note"] == ""  # type: ignore[index]


def test_a_transfer_may_empty_an_account(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance
) -> None:
    ada = open_account("100.00")

    assert client.post("/api/transfers", json=order(from_account_id=ada, amount="100")).status_code == 201
    assert balance(ada) == "0.00"


def test_an_overdraft_is_a_conflict_and_moves_nothing(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance
) -> None:
    ada, bob = open_account("100.00"), open_account("0")

    answer = client.post(
        "/api/transfers", json=order(from_account_id=ada, to_account_id=bob, amount="100.0001")
    )

    assert answer.status_code == 409
    assert list(answer.json["errors"]) == ["amount"]  # type: ignore[index]
    assert (balance(ada), balance(bob)) == ("100.00", "0.00")
    assert client.get("/api/transfers").json["total"] == 0  # type: ignore[index]


def test_a_balance_above_the_largest_amount_is_a_conflict(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance
) -> None:
    rich = open_account("999999999999.9999")

    answer = client.post("/api/transfers", json=order(to_account_id=rich, amount="0.0001"))

    assert answer.status_code == 409
    assert list(answer.json["errors"]) == ["amount"]  # type: ignore[index]
    assert balance(rich) == "999999999999.9999"


def test_a_transfer_to_its_own_account_is_refused(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance
) -> None:
    ada = open_account("100.00")

    answer = client.post("/api/transfers", json=order(from_account_id=ada, to_account_id=ada))

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["to_account_id"]  # type: ignore[index]
    assert balance(ada) == "100.00"


def test_a_transfer_between_currencies_is_refused(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance
) -> None:
    euros, yen = open_account("100.00", currency="EUR"), open_account("100.00", currency="JPY")

    answer = client.post("/api/transfers", json=order(from_account_id=euros, to_account_id=yen))

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == ["to_account_id"]  # type: ignore[index]
    assert (balance(euros), balance(yen)) == ("100.00", "100.00")


@pytest.mark.parametrize("field", ["from_account_id", "to_account_id"])
@pytest.mark.parametrize("unknown", [999_999_999, 2**63 - 1])
def test_an_unknown_account_is_refused_and_its_field_named(
    client: FlaskClient, order: Order, field: str, unknown: int
) -> None:
    answer = client.post("/api/transfers", json=order(**{field: unknown}))

    assert answer.status_code == 422
    assert list(answer.json["errors"]) == [field]  # type: ignore[index]


def test_a_refused_order_leaves_its_key_free(client: FlaskClient, order: Order) -> None:
    too_much = order(amount="100.01")

    assert client.post("/api/transfers", json=too_much).status_code == 409
    assert client.post("/api/transfers", json={**too_much, "amount": "1"}).status_code == 201


@pytest.mark.parametrize(("amount", "left"), [("25.00", "75.00"), ("100.00", "0.00")])
def test_an_order_sent_twice_is_applied_once_and_answered_equally(
    client: FlaskClient, order: Order, balance: Balance, amount: str, left: str
) -> None:
    body = order(amount=amount)

    first, second = (client.post("/api/transfers", json=body) for _ in range(2))

    assert (first.status_code, second.status_code, second.json) == (201, 201, first.json)
    assert balance(body["from_account_id"]) == left
    assert client.get("/api/transfers").json["total"] == 1  # type: ignore[index]


def test_an_amount_in_another_notation_is_the_same_order(client: FlaskClient, order: Order) -> None:
    body = order(amount="25")

    first, second = (
        client.post("/api/transfers", json={**body, "amount": amount}) for amount in ("25", "25.000")
    )

    assert (second.status_code, second.json) == (201, first.json)


@pytest.mark.parametrize("field", ["from_account_id", "to_account_id", "amount", "note"])
def test_a_key_with_another_body_is_a_conflict(
    client: FlaskClient, open_account: OpenAccount, order: Order, balance: Balance, field: str
) -> None:
    body = order(amount="25.00")
    client.post("/api/transfers", json=body)
    other = {**body, field: {"amount": "25.01", "note": "For tea"}.get(field) or open_account()}

    answer = client.post("/api/transfers", json=other)

    assert answer.status_code == 409
    assert list(answer.json["errors"]) == ["idempotency_key"]  # type: ignore[index]
    assert balance(body["from_account_id"]) == "75.00"


@pytest.mark.parametrize(
    "keys",
    [
        ("key", "KEY"),
        ("key", "key "),
        ("key", "kéy"),
        ("k\u00e9y", "ke\u0301y"),
        ("stra\u00dfe", "strasse"),
        ("🍣", "🍺"),
        ("key", "key\u200b"),
    ],
)
def test_keys_compare_byte_by_byte(
    client: FlaskClient, order: Order, balance: Balance, keys: tuple[str, str]
) -> None:
    body = order(amount="25.00")

    answers = [client.post("/api/transfers", json={**body, "idempotency_key": key}) for key in keys]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert [answer.json["idempotency_key"] for answer in answers] == list(keys)  # type: ignore[index]
    assert balance(body["from_account_id"]) == "50.00"


def test_an_id_may_be_a_float_without_a_fraction(client: FlaskClient, order: Order) -> None:
    body = order()

    answer = client.post("/api/transfers", json={**body, "to_account_id": float(body["to_account_id"])})

    assert answer.status_code == 201


def test_text_of_the_largest_length_may_consist_of_escaped_characters(
    client: FlaskClient, order: Order
) -> None:
    body = order(note="🍣" * 1000, idempotency_key="🍺" * 200)

    answer = client.post("/api/transfers", json=body)

    assert (answer.json["note"], answer.json["idempotency_key"]) == (body["note"], body["idempotency_key"])  # type: ignore[index]
