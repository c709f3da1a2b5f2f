from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

OpenAccount = Callable[..., int]

ADA = {"owner": "Ada", "currency": "EUR", "balance": "12.50"}


def test_an_account_can_be_opened_and_read_where_its_location_says(client: FlaskClient) -> None:
    opened = client.post("/api/accounts", json=ADA)

    assert opened.status_code == 201
    assert opened.json == {"id": opened.json["id"], **ADA}  # type: ignore[index]
    assert client.get(opened.headers["Location"]).json == opened.json


def test_the_location_is_right_where_the_app_is_mounted(client: FlaskClient) -> None:
    opened = client.post("/api/accounts", json=ADA, environ_overrides={"SCRIPT_NAME": "/mounted"})

    assert opened.headers["Location"] == f"/mounted/api/accounts/{opened.json['id']}"  # type: ignore[index]


def test_another_app_on_the_same_database_reads_the_account(
    client: FlaskClient, open_account: OpenAccount, make_app: Callable[..., Flask]
) -> None:
    path = f"/api/accounts/{open_account('12.50')}"

    assert make_app().test_client().get(path).json == client.get(path).json


def test_one_owner_may_have_two_accounts(open_account: OpenAccount) -> None:
    assert open_account(owner="Ada") != open_account(owner="Ada")


@pytest.mark.parametrize(
    ("balance", "kept"),
    [
        ("0", "0.00"),
        ("0.0", "0.00"),
        ("10", "10.00"),
        ("0.5", "0.50"),
        ("1.2500", "1.25"),
        ("1.2345", "1.2345"),
    ],
)
def test_money_may_be_written_with_up_to_four_decimals(client: FlaskClient, balance: str, kept: str) -> None:
    assert client.post("/api/accounts", json={**ADA, "balance": balance}).json["balance"] == kept  # type: ignore[index]


def test_the_type_of_a_body_may_have_parameters(client: FlaskClient) -> None:
    answer = client.post("/api/accounts", json=ADA, content_type="application/json; charset=utf-8")

    assert answer.status_code == 201


@pytest.mark.parametrize("account_id", [999_999_999, 2**63 - 1])
def test_an_account_that_does_not_exist_is_unknown(client: FlaskClient, account_id: int) -> None:
    answer = client.get(f"/api/accounts/{account_id}")

    assert answer.status_code == 404
    assert list(answer.json["errors"]) == ["account_id"]  # type: ignore[index]
