"""The ledger as gunicorn serves it, on a Unix socket: no port that somebody else could take."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.load import exchange, post

if TYPE_CHECKING:
    from types import TracebackType

THREADS = 64
MADE = "201"
READY_WITHIN = 60
STOPPED_WITHIN = 30


@dataclass(frozen=True)
class Loaded:
    """The answers of each status, and the seconds that they took."""

    seconds: float
    statuses: dict[str, int]

    @property
    def rate(self) -> float:
        """Transfers a second."""
        return self.statuses.get(MADE, 0) / self.seconds

    @property
    def failed(self) -> dict[str, int]:
        """The answers that are no transfer."""
        return {status: count for status, count in self.statuses.items() if status != MADE}


class Served:
    """One server with its app; made, used and gone within a `with`."""

    def __init__(self, uri: str, *, plain: bool) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        folder = Path(self._scratch.name)
        self.socket = str(folder / "gunicorn.sock")
        told = folder / "served.json"
        told.touch(mode=0o600)
        told.write_text(json.dumps({"uri": uri, "plain": plain}), encoding="utf-8")
        self._log = folder / "log"
        options = ["--worker-class", "gthread", "--threads", str(THREADS), "--keep-alive", "60"]
        options += ["--no-control-socket", "--bind", f"unix:{self.socket}"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, "bench.served:create()"],
                env={**os.environ, "BENCH_SERVED": str(told)},
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._scratch.cleanup()

    def open_accounts(self, count: int) -> list[int]:
        """Rich ones; the first waits until the server is ready."""
        account = {"owner": "Ada", "currency": "EUR", "balance": "1000000"}
        with self._connected() as connection:
            answers = [exchange(connection, post("/api/accounts", account)) for _ in range(count)]
        if refused := [answer for answer in answers if answer.status != MADE]:
            message = f"An account could not be opened: {refused[0]}\n{self._log.read_text()}"
            raise RuntimeError(message)
        return [json.loads(answer.body)["id"] for answer in answers]

    def load(self, accounts: list[int], clients: int, seconds: float) -> Loaded:
        """What `bench.load` tells of so many clients."""
        told = {"socket": self.socket, "accounts": accounts, "clients": clients, "seconds": seconds}
        ended = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=json.dumps(told),
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds + READY_WITHIN,
            check=True,
        )
        return Loaded(**json.loads(ended.stdout))

    def _connected(self) -> socket.socket:
        until = time.monotonic() + READY_WITHIN
        while True:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(READY_WITHIN)
            try:
                connection.connect(self.socket)
            except OSError:
                connection.close()
                if self._process.poll() is not None or time.monotonic() > until:
                    message = f"gunicorn does not serve:\n{self._log.read_text()}"
                    raise RuntimeError(message) from None
                time.sleep(0.05)
            else:
                return connection
