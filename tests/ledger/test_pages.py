from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

OpenAccount = Callable[..., int]
Order = Callable[..., dict[str, Any]]


def ids(client: FlaskClient, path: str) -> list[int]:
    return [item["id"] for item in client.get(path).json["items"]]  # type: ignore[index]


def test_pages_list_every_account_once_in_the_order_of_ids(
    client: FlaskClient, open_account: OpenAccount
) -> None:
    opened = [open_account() for _ in range(5)]

    pages = [ids(client, f"/api/accounts?page={page}&per_page=2") for page in (1, 2, 3)]

    assert pages == [opened[:2], opened[2:4], opened[4:]]


def test_pages_list_every_transfer_once_in_the_order_of_ids(client: FlaskClient, order: Order) -> None:
    first = order()
    made = [client.post("/api/transfers", json={**first, "idempotency_key": f"{n}"}).json for n in range(3)]

    pages = [client.get(f"/api/transfers?page={page}&per_page=2").json["items"] for page in (1, 2)]  # type: ignore[index]

    assert pages == [made[:2], made[2:]]


@pytest.mark.parametrize("path", ["/api/accounts", "/api/transfers"])
def test_a_page_contains_its_number_and_the_total(client: FlaskClient, order: Order, path: str) -> None:
    client.post("/api/transfers", json=order())
    total = {"/api/accounts": 2, "/api/transfers": 1}[path]

    page = client.get(path).json
    assert page is not None
    del page["items"]

    assert page == {"page": 1, "per_page": 20, "total": total}


@pytest.mark.parametrize("path", ["/api/accounts", "/api/transfers"])
@pytest.mark.parametrize("page", [2, 10**9])
def test_a_page_after_the_last_is_empty(client: FlaskClient, order: Order, path: str, page: int) -> None:
    client.post("/api/transfers", json=order())

    answer = client.get(f"{path}?page={page}&per_page=100")

    assert answer.status_code == 200
    assert answer.json["items"] == []  # type: ignore[index]
