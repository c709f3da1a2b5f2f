"""Promise 10 in uWSGI with its defaults: it loads the app, forks in C, and each worker has one thread."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from flask_sqlalchemy_testbed.plugin.state import not_applicable
from tests.harness.projects import eventually

# As in `uwsgi_app`, which makes its app when it is imported.
PARENT, URI = "UWSGI_APP_PARENT", "UWSGI_APP_URI"

UWSGI = Path(sys.executable).with_name("uwsgi")
WORKERS = 4
WITHIN = 20.0


class Workers:
    """Requests to the workers, each over a connection of its own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def who(self, _: object = None) -> dict[str, Any]:
        with contextlib.closing(HTTPConnection(*self._address, timeout=WITHIN)) as connection:
            connection.request("GET", "/who")
            return json.loads(connection.getresponse().read())  # type: ignore[no-any-return]

    def all(self) -> list[dict[str, Any]]:
        """Return responses of all workers."""
        found: list[dict[str, Any]] = []
        with ThreadPoolExecutor(2 * WORKERS) as threads:
            for _ in range(20):
                found += threads.map(self.who, range(4 * WORKERS))
                if len({answer["process"] for answer in found}) == WORKERS:
                    return found
        message = f"not all workers answered: {found}"
        raise AssertionError(message)

    def hang_up(self) -> None:
        """Leave while a body is being streamed."""
        with contextlib.closing(HTTPConnection(*self._address, timeout=WITHIN)) as connection:
            connection.request("GET", "/stream")
            assert connection.getresponse().read(1) == b"1"


@pytest.fixture
def workers(request: pytest.FixtureRequest, database_uri: str, tmp_path: Path) -> Iterator[Workers]:
    if not UWSGI.exists():
        not_applicable(request.node, "uWSGI is not installed")
    log = tmp_path / "uwsgi.log"
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(UWSGI, "--http-socket", f"fd://{listener.fileno()}", "--module", "tests.binding.uwsgi_app"),
                *("--master", "--no-orphans", "--processes", f"{WORKERS}"),
            ],
            env={**os.environ, URI: database_uri, PARENT: f"{os.getpid()}"},
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        address = listener.getsockname()
    try:
        yield Workers(address)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(WITHIN)


def test_each_worker_opens_connections_of_its_own(workers: Workers) -> None:
    answers = workers.all()

    assert {answer["opened_by"] == answer["process"] for answer in answers} == {True}
    assert answers[0]["master"] not in {answer["process"] for answer in answers}


def test_nothing_is_left_after_a_request_or_a_client_that_hangs_up(workers: Workers) -> None:
    for _ in range(WORKERS):
        workers.hang_up()

    eventually(lambda: {answer["left"] for answer in workers.all()} == {0})
