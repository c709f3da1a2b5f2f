"""A composed stack of its own: its name and its ports are nobody else's."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, NullPool, create_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Engine

ROOT = Path(__file__).parents[2]

BACKENDS = ("sqlite", "postgresql", "mysql")
SERVERS = ("postgresql", "mysql")
DRIVERS = {"postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}

# Far more than any of it takes, but for a build that has to fetch what it installs.
BUILD_SECONDS = 900
SECONDS = 60


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    json: Any


@dataclass
class Stack:
    """Nothing is started before it is asked for; `composed` removes it all."""

    project: str = field(default_factory=lambda: f"stack-{secrets.token_hex(4)}")
    ports: dict[str, int] = field(default_factory=lambda: free_ports("app", "postgresql", "mysql"))
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *args: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run docker with these arguments, whatever comes of it."""
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
        """What the command writes to its standard output; it must not fail."""
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
        """What the engine says about each container, by service."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.docker("inspect", *ids))
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in found}

    def process(self, service: str) -> tuple[int, str]:
        """The main process of a container: its number outside, and when it was started."""
        state = self.containers()[service]["State"]
        return state["Pid"], state["StartedAt"]

    def execute(self, service: str, command: str) -> str:
        return self.compose("exec", "--no-TTY", service, "sh", "-c", command)

    def logs(self, *services: str) -> list[str]:
        """The lines that were written, without the names of those who wrote them."""
        return self.compose("logs", "--no-color", "--no-log-prefix", *services).splitlines()

    def password(self, backend: str) -> str:
        return self.execute("app", f"cat /run/passwords/{backend}/password")

    def engine(self, backend: str, password: str) -> Engine:
        """A way to the database from this machine, past the app."""
        port = self.ports[backend]
        url = URL.create(DRIVERS[backend], "testbed", password, "127.0.0.1", port, database="testbed")
        return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """What the app answers; `OSError` where it does not, or only in part."""
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
        """Ask for a transfer, under a key of its own unless one is given."""
        order = {"from_account_id": source, "to_account_id": target, "amount": amount}
        named = {"idempotency_key": key or secrets.token_hex(16)}
        return self.ask("POST", f"/{backend}/api/transfers", order | named)

    def balance(self, backend: str, account: int) -> str:
        return str(self.ask("GET", f"/{backend}/api/accounts/{account}").json["balance"])

    def everything(self, backend: str, what: str) -> list[dict[str, Any]]:
        """All accounts, or all transfers."""
        found: list[dict[str, Any]] = []
        page, more = 0, True
        while more:
            page += 1
            answer = self.ask("GET", f"/{backend}/api/{what}?per_page=100&page={page}").json
            found += answer["items"]
            more = len(found) < answer["total"]
        return found

    def is_ready(self, backend: str) -> bool:
        return self.ask("GET", f"/{backend}/readyz").status == 200


@contextmanager
def composed(*services: str, **environment: str) -> Iterator[Stack]:
    """These services, or all, up and healthy; in the end it is removed with its data and images."""
    stack = Stack(environment=environment)
    try:
        stack.up(*services)
        yield stack
    finally:
        stack.remove()


def eventually(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Return as soon as the condition holds; one that cannot be asked yet does not hold."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
            last = "it does not hold"
        except OSError as error:
            last = repr(error)
        assert time.monotonic() < deadline, f"Not within {seconds} s: {last}"
        time.sleep(0.05)


def free_ports(*names: str) -> dict[str, int]:
    with ExitStack() as open_until_all_are_chosen:
        ports = {}
        for name in names:
            listener = open_until_all_are_chosen.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            ports[name] = listener.getsockname()[1]
        return ports
