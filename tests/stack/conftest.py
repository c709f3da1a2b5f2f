"""A composed stack for these tests alone, brought up once: its name and its ports are nobody else's."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL, NullPool, create_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from sqlalchemy import Engine

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent

DRIVERS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}

# Far more than any of it takes, but for a build that has to fetch what it installs.
BUILD_SECONDS = 900
SECONDS = 60


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave these to `pytest tests/stack`: the other tests need no stack, and SQLite's no Docker."""
    asked = [(config.invocation_params.dir / arg.split("::")[0]).resolve() for arg in config.args]
    if any(path.is_relative_to(HERE) for path in asked) or not collection_path.is_relative_to(HERE):
        return None
    return True


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    json: Any


@dataclass
class Stack:
    project: str = field(default_factory=lambda: f"stack-{secrets.token_hex(4)}")
    ports: dict[str, int] = field(default_factory=lambda: free_ports("app", "postgresql", "mysql"))

    def docker(self, *args: str, seconds: float = SECONDS) -> str:
        """What the command writes to its standard output; it must not fail."""
        ports = {f"{service.upper()}_PORT": str(port) for service, port in self.ports.items()}
        done = subprocess.run(
            ["docker", *args],
            env={**os.environ, **ports},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"docker {' '.join(args)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def compose(self, *args: str, seconds: float = SECONDS) -> str:
        return self.docker("compose", "--project-name", self.project, *args, seconds=seconds)

    def up(self) -> None:
        self.compose("up", "--build", "--wait", seconds=BUILD_SECONDS)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says about each container, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.docker("inspect", *ids))
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in found}

    def execute(self, service: str, command: str) -> str:
        return self.compose("exec", "--no-TTY", service, "sh", "-c", command)

    def password(self, backend: str) -> str:
        return self.execute("app", f"cat /run/passwords/{backend}/password")

    def engine(self, backend: str, password: str) -> Engine:
        """A way to the database from this machine, past the app."""
        port = self.ports[backend]
        url = URL.create(DRIVERS[backend], "testbed", password, "127.0.0.1", port, database="testbed")
        return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.ports["app"], timeout=SECONDS)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, response.headers, json.loads(response.read()))
        finally:
            connection.close()

    def open_account(self, backend: str, balance: str) -> int:
        account = {"owner": "Ada", "currency": "EUR", "balance": balance}
        answer = self.ask("POST", f"/{backend}/api/accounts", account)
        assert answer.status == 201, answer.json
        return int(answer.json["id"])

    def transfer(self, backend: str, source: int, target: int, amount: str) -> Answer:
        order = {"from_account_id": source, "to_account_id": target, "amount": amount}
        key = {"idempotency_key": secrets.token_hex(16)}
        return self.ask("POST", f"/{backend}/api/transfers", order | key)

    def balance(self, backend: str, account: int) -> str:
        return str(self.ask("GET", f"/{backend}/api/accounts/{account}").json["balance"])

    def is_ready(self, backend: str) -> bool:
        return self.ask("GET", f"/{backend}/readyz").status == 200


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    stack = Stack()
    try:
        stack.up()
        yield stack
    finally:
        stack.compose("down", "--volumes", "--rmi", "local", "--remove-orphans")


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Return as soon as the condition holds; one that cannot be asked yet does not hold."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                if condition():
                    return
                last = "it does not hold"
            except OSError as error:
                last = repr(error)
            assert time.monotonic() < deadline, f"Not within {SECONDS} s: {last}"
            time.sleep(0.05)

    return wait


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report of a failure carry what the stack wrote since the test began."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if call.when == "call" and report.failed and stack is not None:
        since = str(int(call.start))
        report.sections.append(("docker compose logs", stack.compose("logs", "--no-color", "--since", since)))
    return report


def free_ports(*names: str) -> dict[str, int]:
    with ExitStack() as open_until_all_are_chosen:
        ports = {}
        for name in names:
            listener = open_until_all_are_chosen.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
        return ports
