"""A pair of servers replicates for real, keeps what it acknowledges, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from threading import Thread

import docker
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from flask_sqlalchemy_testbed.servers.pairs import Pair
from flask_sqlalchemy_testbed.servers.reaper import RUN_LABEL
from tests.failover.ledgers import ledger_on
from tests.stack.stack import eventually

BACKENDS = ("postgresql", "mysql", "mariadb")

# Queries on the primary, and their results.
DURABLE: dict[str, dict[str, object]] = {
    "postgresql": {
        "SHOW fsync": "on",
        "SHOW full_page_writes": "on",
        "SHOW synchronous_commit": "on",
        "SHOW synchronous_standby_names": "*",
        "SHOW wal_level": "replica",
    },
    "mysql": {
        "SELECT @@sync_binlog": 1,
        "SELECT @@innodb_flush_log_at_trx_commit": 1,
        "SELECT @@innodb_doublewrite": "ON",
        "SELECT @@gtid_mode": "ON",
        "SELECT variable_value FROM performance_schema.global_status"
        " WHERE variable_name = 'Rpl_semi_sync_source_status'": "ON",
        "SELECT @@rpl_semi_sync_source_timeout": 3_600_000,
    },
    "mariadb": {
        "SELECT @@sync_binlog": 1,
        "SELECT @@innodb_flush_log_at_trx_commit": 1,
        "SELECT @@innodb_doublewrite": "ON",
        "SELECT @@gtid_strict_mode": 1,
        "SELECT @@rpl_semi_sync_master_wait_point": "AFTER_SYNC",
        "SELECT variable_value FROM information_schema.global_status"
        " WHERE variable_name = 'RPL_SEMI_SYNC_MASTER_STATUS'": "ON",
        "SELECT @@rpl_semi_sync_master_timeout": 3_600_000,
    },
}
# Settings with which the app gives up a commit after a second.
IMPATIENT: dict[str, dict[str, object]] = {
    "postgresql": {"DATABASE_WAIT_SECONDS": 1.0},
    "mysql": {"DATABASE_ENGINE_OPTIONS": {"connect_args": {"read_timeout": 1}}},
    "mariadb": {"DATABASE_ENGINE_OPTIONS": {"connect_args": {"read_timeout": 1}}},
}

# The type of a text of megabytes.
LARGE = {"postgresql": "TEXT", "mysql": "LONGTEXT", "mariadb": "LONGTEXT"}

# Starts a pair and waits to be killed.
PROGRAM = """
import sys
from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.run import Run
run = Run()
pair = run.start_pair(BACKENDS["postgresql"])
print(run.name, flush=True)
sys.stdin.read()
"""


# 256 MB, which take a standby longer to receive than it takes to cut it off.
ROWS = 64
ONE_TRANSACTION = " UNION ALL ".join(["SELECT REPEAT('x', 4000000)"] * ROWS)


@pytest.fixture(params=BACKENDS)
def pair(request: pytest.FixtureRequest, start_pair: Callable[..., tuple[Pair, float]]) -> Pair:
    return start_pair(request.param)[0]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


def test_the_primary_of_a_pair_gives_up_no_safety_for_speed(pair: Pair) -> None:
    expected = DURABLE[pair.backend.name]

    assert {query: pair.primary.value(query) for query in expected} == expected


def test_the_standby_returns_the_rows_of_the_primary_and_refuses_writes(pair: Pair) -> None:
    pair.primary.execute("CREATE TABLE numbers (number INTEGER)", "INSERT INTO numbers VALUES (7)")
    pair.wait_for_standby(applied=True)

    assert pair.standby.value("SELECT number FROM numbers") == 7
    with pytest.raises(Exception, match="read-only"):
        pair.standby.execute("INSERT INTO numbers VALUES (8)")


def test_the_gate_never_leads_to_the_standby(pair: Pair) -> None:
    engine = create_engine(pair.url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
    errors: list[str] = []
    promotion = Thread(target=pair.promote)
    pair.primary.kill()
    promotion.start()

    def writes() -> bool:
        try:
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO numbers VALUES (7)"))
        except DBAPIError as error:
            errors.append(str(error))
            return False
        return True

    eventually(writes)
    promotion.join()
    engine.dispose()
    assert not [error for error in errors if "read-only" in error]


def test_a_commit_that_the_standby_does_not_store_is_not_acknowledged(pair: Pair) -> None:
    # PostgreSQL's statement_timeout does not end the wait for the standby.
    with ledger_on(pair.url, **IMPATIENT[pair.backend.name]) as ledger:
        pair.wait_for_standby()
        pair.stop_receiving()

        begun = time.monotonic()
        answer = ledger.ask(
            "POST", "/ledger/api/accounts", {"owner": "Ada", "currency": "EUR", "balance": "1"}
        )
        waited = time.monotonic() - begun

        pair.promote()
        assert answer.status == 503
        assert 1.0 <= waited < 5.0
        assert pair.standby.value("SELECT count(*) FROM account") == 0


def test_a_pair_is_removed_when_its_process_is_killed(client: docker.DockerClient) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        label: dict[str, str | list[str] | bool] = {
            "label": f"{RUN_LABEL}={process.stdout.readline().strip()}"
        }
        begun = len(client.containers.list(filters=label)), len(client.networks.list(filters=label))
        os.kill(process.pid, signal.SIGKILL)

    assert begun == (3, 1)
    eventually(
        lambda: (
            not client.containers.list(all=True, filters=label, ignore_removed=True)
            and not client.networks.list(filters=label)
        )
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_standby_that_was_cut_off_in_the_middle_of_a_transaction_is_promoted_at_once(
    backend: str, start_pair: Callable[..., tuple[Pair, float]]
) -> None:
    pair, _ = start_pair(backend, synchronous=False)
    pair.primary.execute(f"CREATE TABLE large (content {LARGE[backend]})", "CREATE TABLE small (id INTEGER)")
    pair.wait_for_standby(applied=True)
    pair.primary.execute(f"INSERT INTO large {ONE_TRANSACTION}")
    pair.stop_receiving()
    pair.primary.kill()

    began = time.monotonic()
    pair.promote()
    pair.standby.execute("INSERT INTO small VALUES (1)", "INSERT INTO large VALUES ('y')")

    # MySQL waits 60 s for the rest of the transaction.
    assert time.monotonic() - began < 30
    # The other databases may have received all of it.
    assert pair.standby.value("SELECT COUNT(*) FROM large WHERE content <> 'y'") in {0, ROWS}
