import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tests.stack.api import Answer
from tests.stack.stack import BACKENDS, SERVERS, Stack, eventually

EVENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR|CRITICAL) [\w.]+ \S.*")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_request_is_one_line_with_its_id_backend_status_time_and_statements(
    stack: Stack, backend: str
) -> None:
    stack.ask("GET", f"/{backend}/api/accounts")  # the first request may create the tables
    answer = stack.ask("GET", f"/{backend}/api/accounts", headers={"X-Request-ID": f"mine-{backend}"})

    (line,) = lines_of(stack, f"mine-{backend}")
    expected = rf"INFO request id=mine-{backend} backend={backend} status=200 ms=\d+\.\d statements=(\d+)"
    found = re.search(rf"{expected} GET /{backend}/api/accounts$", line)
    assert found, line
    assert int(found[1]) in {2, 3}  # the total and the page; SQLite also counts BEGIN
    assert answer.headers["X-Request-ID"] == f"mine-{backend}"


def test_every_line_of_the_app_is_a_record(stack: Stack) -> None:
    stack.ask("GET", "/sqlite/api/accounts/1%0A2026-01-01T00:00:00.000Z%20INFO%20forged")

    assert [line for line in stack.logs("app") if not EVENT.fullmatch(line)] == []


def test_health_checks_are_not_logged(stack: Stack) -> None:
    stack.ask("GET", "/healthz")

    assert [line for line in stack.logs("app") if line.endswith("GET /healthz")] == []


@pytest.mark.parametrize("backend", SERVERS)
def test_an_error_is_one_line_with_the_request_id_and_not_shown_to_the_client(
    stack: Stack, backend: str
) -> None:
    with a_table_missing(stack, backend):
        answer = stack.ask("GET", f"/{backend}/api/transfers")

    assert answer.status == 500
    error, request = lines_of(stack, answer.headers["X-Request-ID"])
    assert re.search(rf" ERROR \S+ id=\S+ backend={backend} .*ProgrammingError.* at .*app/ledger\.py", error)
    assert " status=500 " in request
    assert_silent(stack, backend, answer, error)


@pytest.mark.parametrize("backend", SERVERS)
def test_an_outage_is_one_warning_with_the_request_id_and_no_password(stack: Stack, backend: str) -> None:
    stack.compose("kill", backend)
    answer = stack.ask("GET", f"/{backend}/api/accounts")
    stack.compose("start", backend)
    eventually(lambda: stack.is_ready(backend))

    assert answer.status == 503
    warning, request = lines_of(stack, answer.headers["X-Request-ID"])
    assert f" backend={backend} The database is away: " in warning
    assert " WARNING " in warning
    assert " status=503 " in request
    assert_silent(stack, backend, answer, warning)


@pytest.mark.parametrize("service", SERVERS)
def test_a_healthy_server_logs_nothing(stack: Stack, service: str) -> None:
    before = len(stack.logs(service))

    ada, bob = stack.open_account(service, "100"), stack.open_account(service, "0")
    for _ in range(20):
        assert stack.transfer(service, ada, bob, "1").status == 201
    stack.transfer(service, ada, bob, "1000")

    assert stack.logs(service)[before:] == []


def lines_of(stack: Stack, id_: str) -> list[str]:
    found: list[str] = []

    def logged() -> bool:
        # The line of a request is logged last, after its response.
        found[:] = [line for line in stack.logs("app") if f" id={id_} " in line]
        return any(" INFO request " in line for line in found)

    eventually(logged)
    return found


def assert_silent(stack: Stack, backend: str, answer: Answer, line: str) -> None:
    """Assert that the response and the log line do not contain secrets.

    That is the password in both, and the database in the response.
    """
    password = stack.password(backend)

    assert password not in line
    assert password not in f"{answer.json}{answer.headers}"
    assert not re.search("SELECT|psycopg2|pymysql|Traceback", str(answer.json))


@contextmanager
def a_table_missing(stack: Stack, backend: str) -> Iterator[None]:
    with stack.engine(backend, stack.password(backend)).connect() as connection:
        connection.execute(text("ALTER TABLE transfer RENAME TO elsewhere"))
        try:
            yield
        finally:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO transfer"))
