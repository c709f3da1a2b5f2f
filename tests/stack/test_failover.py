"""The profile `failover`: two PostgreSQL servers behind a gate, and the page that changes their roles."""

import json
import re
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.stack.clients import Clients
from tests.stack.stack import SECONDS, Stack, eventually

NODES = ("first", "second")
SERVICES = (*NODES, "gate")
# Transfers that are acknowledged before a change of roles.
SOME = 20

# Runs in the container of the app; prints a line for each attempt that succeeds.
INTRUDER = """
import sys, psycopg2
password = open("/run/passwords/operator/password").read()
def attempt(statement, **options):
    given = {"host": "gate", "port": 5433, "user": "operator", "password": password, "dbname": "postgres"}
    try:
        connection = psycopg2.connect(**{**given, **options})
        connection.autocommit = True
        if statement:
            connection.cursor().execute(statement)
        print("allowed:", options, statement)
    except psycopg2.Error as error:
        print("refused:", str(error).splitlines()[0], file=sys.stderr)
attempt(None, dbname="testbed")
attempt(None, dbname="template1")
attempt(None, user="postgres")
attempt(None, user="replicator", password="replicator", replication="database")
attempt(None, user="gate", replication="database")
attempt(None, user="gate", dbname="testbed")
for statement in (
    "CREATE TABLE loot (number INTEGER)",
    "CREATE TEMPORARY TABLE loot (number INTEGER)",
    "CREATE ROLE thief",
    "CREATE DATABASE loot",
    "ALTER SYSTEM SET fsync = off",
    "ALTER SYSTEM SET primary_conninfo = 'host=thief'",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('postgresql.auto.conf')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'testbed'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
):
    attempt(statement)
"""


@pytest.fixture(scope="module")
def stack(bare_stack: Stack) -> Iterator[Stack]:
    bare_stack.up(*SERVICES)
    yield bare_stack
    bare_stack.compose("kill", *SERVICES)


def state(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.ask("GET", "/failover.json").json
    return found


def role(stack: Stack, name: str) -> str:
    return str(state(stack)["nodes"][name]["role"])


def nodes_by_role(stack: Stack) -> tuple[str, str]:
    """Return the names of the primary and of the standby."""
    eventually(lambda: {role(stack, name) for name in NODES} == {"primary", "standby"})
    return ("first", "second") if role(stack, "first") == "primary" else ("second", "first")


def change(stack: Stack, wanted: str, name: str) -> tuple[int, str]:
    """Promote or demote a server as the script of the page does."""
    connection = HTTPConnection("127.0.0.1", stack.ports["app"], timeout=SECONDS)
    connection.request("GET", "/failover")
    page = connection.getresponse()
    found = re.search(r'name="token" value="([^"]+)"', page.read().decode())
    assert found
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": str(page.headers["Set-Cookie"]).partition(";")[0],
    }
    form = urlencode({"token": found[1], "change": wanted, "node": name})
    connection.request("POST", "/failover", form, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer.get("message") or answer.get("error")


def test_a_killed_primary_loses_no_acknowledged_transfer_and_returns_as_a_standby(stack: Stack) -> None:
    primary, standby = nodes_by_role(stack)
    clients = Clients(stack, "pair")
    clients.open_accounts()

    assert state(stack)["nodes"][primary]["waits"] == "yes"
    with clients.transferring():
        wait_for_transfers(clients)
        stack.compose("kill", primary)
        eventually(lambda: role(stack, primary) == "not reachable")
        assert change(stack, "promote", standby)[0] == 200
        wait_for_transfers(clients)
        stack.compose("start", primary)
        eventually(lambda: role(stack, primary) == "standby")
        wait_for_transfers(clients)

    clients.check()
    assert state(stack)["figures"]["lost"] == "0"


def test_a_planned_change_on_the_page_loses_no_acknowledged_transfer(stack: Stack) -> None:
    primary, standby = nodes_by_role(stack)
    app = stack.process("app")
    clients = Clients(stack, "pair")
    clients.open_accounts()

    with clients.transferring():
        wait_for_transfers(clients)
        demoted = change(stack, "demote", primary)
        roles = role(stack, primary), role(stack, standby)
        promoted = change(stack, "promote", standby)
        assert (demoted[0], promoted[0]) == (200, 200), (demoted, promoted)
        wait_for_transfers(clients)
    stack.compose("restart", primary)
    eventually(lambda: role(stack, primary) == "standby")

    assert roles == ("demoted", "standby")
    clients.check()
    assert state(stack)["figures"]["lost"] == "0"
    assert stack.process("app") == app


def test_the_page_refuses_a_change_that_would_make_two_primaries(stack: Stack) -> None:
    primary, standby = nodes_by_role(stack)

    assert change(stack, "promote", standby) == (409, f"{primary} takes writes. Demote or kill it first.")
    assert change(stack, "demote", standby) == (409, f"{standby} is no primary.")
    assert change(stack, "erase", primary)[0] == 404
    assert nodes_by_role(stack) == (primary, standby)


def test_the_operator_can_do_nothing_but_promote_and_demote(stack: Stack) -> None:
    allowed = stack.compose("exec", "--no-TTY", "app", "python", "-c", INTRUDER)

    assert allowed == ""


def test_no_service_has_the_socket_of_docker(stack: Stack) -> None:
    assert "docker.sock" not in stack.compose("--profile", "*", "config")


def test_its_containers_are_as_hardened_as_the_others(stack: Stack) -> None:
    containers = stack.containers()
    for service in SERVICES:
        status = stack.execute(service, "cat /proc/1/status; grep ' / ' /proc/mounts; ls /run/passwords || :")

        assert containers[service]["HostConfig"]["CapDrop"] == ["ALL"]
        assert "\nCapEff:\t0000000000000000\n" in status
        assert "\nUid:\t0" not in status
        assert " ro," in status
        assert not [mount for mount in containers[service]["Mounts"] if mount["RW"]]
        assert not any(containers[service]["NetworkSettings"]["Ports"].values())
        known = {"operator", "pair", "replication"} if service in NODES else set()
        assert known == set(status.splitlines()[-3:]) & {"operator", "pair", "replication", "postgresql"}
    assert list(containers["app"]["NetworkSettings"]["Networks"]) == [f"{stack.project}_ledger"]


def test_its_passwords_are_only_in_their_files(stack: Stack) -> None:
    passwords = stack.execute("first", "cat /run/passwords/*/password | head -c 200")
    found = re.findall(r"[A-Za-z0-9_-]{43}", passwords)
    seen_by_a_neighbour = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '"
    places = [
        json.dumps(stack.containers()),
        stack.compose("logs"),
        *(stack.execute(service, seen_by_a_neighbour) for service in (*SERVICES, "app")),
        json.dumps(state(stack)),
        stack.execute("first", "cat /data/postgresql/*.conf"),
    ]

    assert len(found) == 3
    assert not [where for where in places for password in found if password in where]


def wait_for_transfers(clients: Clients) -> None:
    now = time.monotonic()
    eventually(lambda: clients.acknowledged_since(now, SOME))
