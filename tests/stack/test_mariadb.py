"""The profile `mariadb`: one more server, which the page shows once it has answered."""

import json
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from tests.stack.stack import BUILD_SECONDS, Stack, eventually


@pytest.fixture
def stack(bare_stack: Stack) -> Stack:
    return bare_stack


def state(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.ask("GET", "/state.json").json
    return found


def test_mariadb_has_a_column_once_it_has_answered_and_shows_as_down_later(stack: Stack) -> None:
    before = list(state(stack))
    stack.compose("--profile", "mariadb", "up", "--build", "--wait", "mariadb", seconds=BUILD_SECONDS)
    eventually(lambda: state(stack)["mariadb"]["reachable"] if "mariadb" in state(stack) else False)
    account = stack.open_account("mariadb", "7")
    stack.compose("stop", "mariadb")
    eventually(lambda: not state(stack)["mariadb"]["reachable"])
    refused = stack.ask("GET", "/mariadb/api/accounts").status
    stack.compose("start", "mariadb")
    eventually(lambda: stack.is_ready("mariadb"))

    assert before == ["mysql", "postgresql", "sqlite"]
    assert list(state(stack)) == ["mariadb", *before]
    assert refused == 503
    assert stack.balance("mariadb", account) == "7.00"


def test_its_password_is_random_and_the_baked_one_is_refused(stack: Stack) -> None:
    assert len(stack.password("mariadb")) >= 32
    with stack.engine("mariadb", stack.password("mariadb")).connect():
        pass
    with pytest.raises(OperationalError):
        stack.engine("mariadb", "testbed").connect()


def test_its_container_is_as_hardened_as_the_others(stack: Stack) -> None:
    container = stack.containers()["mariadb"]
    status = stack.execute("mariadb", "cat /proc/1/status; grep ' / ' /proc/mounts; ls /run/passwords")

    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert "\nCapEff:\t0000000000000000\n" in status
    assert "\nUid:\t0" not in status
    assert " ro," in status
    assert status.split()[-1] == "mariadb"
    assert [mount["Name"] for mount in container["Mounts"] if mount["RW"]] == [
        f"{stack.project}_mariadb-data"
    ]
    assert '"HostIp": "0.0.0.0"' not in json.dumps(container)
