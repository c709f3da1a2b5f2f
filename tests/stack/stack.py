"""Start a composed stack with a name and ports of its own."""

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, NullPool, create_engine

ROOT = Path(__file__).parents[2]

BACKENDS = ("sqlite", "postgresql", "mysql")
SERVERS = ("postgresql", "mysql")
DRIVERS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}

# Seconds; a build may have to download packages.
BUILD_SECONDS = 900
SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    json: Any


@dataclass
class Stack:
    """A stack. `up` starts its services, `remove` removes everything."""

    project: str = field(default_factory=lambda: f"stack-{secrets.token_hex(4)}")
    ports: dict[str, int] = field(default_factory=lambda: free_ports("app", "postgresql", "mysql"))
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run docker with these arguments; it may fail."""
        ports = {f"{service.upper()}_PORT": str(port) for service, port in self.ports.items()}
        return subprocess.run(
            ["docker", *args],
            env={**os.environ, **ports, **self.environment},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def docker(self, *args: str, seconds: float = SECONDS) -> str:
        """Return the standard output of a docker command, which must not fail."""
        done = self.run(*args, seconds=seconds)
        assert done.returncode == 0, f"docker {' '.join(args)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def compose(self, *args: str, seconds: float = SECONDS) -> str:
        return self.docker("compose", "--project-name", self.project, *args, seconds=seconds)

    def up(self, *services: str) -> None:
        self.compose("up", "--build", "--wait", *services, seconds=BUILD_SECONDS)

    def remove(self) -> None:
        self.compose("--profile", "*", "down", "--volumes", "--rmi", "local", "--remove-orphans")

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the output of `docker inspect` for each service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.docker("inspect", *ids))
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in found}

    def process(self, service: str) -> tuple[int, str]:
        """Return the number on the host and the start time of the main process of a container."""
        state = self.containers()[service]["State"]
        return state["Pid"], state["StartedAt"]

    def execute(self, service: str, command: str) -> str:
        return self.compose("exec", "--no-TTY", service, "sh", "-c", command)

    def logs(self, *services: str) -> list[str]:
        """Return the log lines without the names of their services."""
        return self.compose("logs", "--no-color", "--no-log-prefix", *services).splitlines()

    def password(self, backend: str) -> str:
        return self.execute("app", f"cat /run/passwords/{backend}/password")

    def engine(self, backend: str, password: str) -> Engine:
        """Return an engine on the database, through its published port."""
        port = self.ports[backend]
        url = URL.create(DRIVERS[backend], "testbed", password, "127.0.0.1", port, database="testbed")
        return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request to the app; raise `OSError` if there is no complete response."""
        connection = HTTPConnection("127.0.0.1", self.ports["app"], timeout=SECONDS)
        try:
            sent = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, json.dumps(body), sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, json.loads(response.read()))
        except HTTPException as error:
            raise ConnectionError(repr(error)) from error
        finally:
            connection.close()

    def open_account(self, backend: str, balance: str) -> int:
        account = {"owner": "Ada", "currency": "EUR", "balance": balance}
        answer = self.ask("POST", f"/{backend}/api/accounts", account)
        assert answer.status == 201, answer.json
        return int(answer.json["id"])

    def transfer(self, backend: str, source: int, target: int, amount: str, *, key: str = "") -> Answer:
        """Request a transfer, with a new idempotency key unless one is given."""
        order = {"from_account_id": source, "to_account_id": target, "amount": amount}
        named = {"idempotency_key": key or secrets.token_hex(16)}
        return self.ask("POST", f"/{backend}/api/transfers", order | named)

    def balance(self, backend: str, account: int) -> str:
        return str(self.ask("GET", f"/{backend}/api/accounts/{account}").json["balance"])

    def items(self, backend: str, kind: str) -> list[dict[str, Any]]:
        """Return all `accounts` or all `transfers`."""
        found: list[dict[str, Any]] = []
        page, more = 0, True
        while more:
            page += 1
            answer = self.ask("GET", f"/{backend}/api/{kind}?per_page=100&page={page}").json
            found += answer["items"]
            more = len(found) < answer["total"]
        return found

    def is_ready(self, backend: str) -> bool:
        return self.ask("GET", f"/{backend}/readyz").status == 200


@contextmanager
def composed(*services: str, **environment: str) -> Iterator[Stack]:
    """Start these services, or all, and remove the stack with its data and images at the end."""
    stack = Stack(environment=environment)
    try:
        stack.up(*services)
        yield stack
    finally:
        stack.remove()


def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as the condition is true; an `OSError` counts as false."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
            last = "the condition is false"
        except OSError as error:
            last = repr(error)
        assert time.monotonic() < deadline, f"Condition not met within {seconds} s: {last}"
        time.sleep(0.05)


def free_ports(*names: str) -> dict[str, int]:
    with ExitStack() as open_until_all_are_chosen:
        ports = {}
        for name in names:
            listener = open_until_all_are_chosen.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
        return ports
