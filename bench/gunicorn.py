"""Serve the ledger with gunicorn on a Unix socket, and load it with requests."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load import exchange, get, post
from bench.served import PROCESSOR_TIME

THREADS = 64
CREATED = "201"
READY_WITHIN = 60
STOPPED_WITHIN = 30


@dataclass(frozen=True)
class Loaded:
    """The number of responses of each status, and the seconds of the measurement."""

    seconds: float
    statuses: dict[str, int]
    processor: float
    """The processor time of gunicorn's worker, in seconds."""

    @property
    def transfers(self) -> int:
        """Return the number of transfers."""
        return self.statuses.get(CREATED, 0)

    @property
    def rate(self) -> float:
        """Return the transfers per second."""
        return self.transfers / self.seconds

    @property
    def failed(self) -> dict[str, int]:
        """Return the responses that are not a transfer, by status."""
        return {status: count for status, count in self.statuses.items() if status != CREATED}


class Served:
    """A gunicorn with the app; it ends with the `with` block."""

    def __init__(self, uri: str, *, plain: bool) -> None:
        self._scratch = tempfile.TemporaryDirectory()
        folder = Path(self._scratch.name)
        self.socket = str(folder / "gunicorn.sock")
        settings = folder / "served.json"
        settings.touch(mode=0o600)
        settings.write_text(json.dumps({"uri": uri, "plain": plain}), encoding="utf-8")
        self._log = folder / "log"
        options = ["--worker-class", "gthread", "--threads", str(THREADS), "--keep-alive", "60"]
        options += ["--no-control-socket", "--bind", f"unix:{self.socket}"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, "bench.served:create()"],
                env={**os.environ, "BENCH_SERVED": str(settings)},
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
        """Open accounts with a high balance, and return their ids; waits until the server is ready."""
        account = {"owner": "Ada", "currency": "EUR", "balance": "1000000"}
        with self._connected() as connection:
            answers = [exchange(connection, post("/api/accounts", account)) for _ in range(count)]
        if refused := [answer for answer in answers if answer.status != CREATED]:
            message = f"The ledger refused to open an account: {refused[0]}\n{self._log.read_text()}"
            raise RuntimeError(message)
        return [json.loads(answer.body)["id"] for answer in answers]

    def load(self, accounts: list[int], clients: int, seconds: float) -> Loaded:
        """Send transfers from so many clients at once, in a process of their own."""
        order = {"socket": self.socket, "accounts": accounts, "clients": clients, "seconds": seconds}
        before = self._processor_time()
        ended = subprocess.run(
            [sys.executable, "-m", "bench.load"],
            input=json.dumps(order),
            stdout=subprocess.PIPE,
            text=True,
            timeout=seconds + READY_WITHIN,
            check=True,
        )
        return Loaded(**json.loads(ended.stdout), processor=self._processor_time() - before)

    def _processor_time(self) -> float:
        with self._connected() as connection:
            return float(exchange(connection, get(PROCESSOR_TIME)).body)

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
                    message = f"gunicorn does not answer:\n{self._log.read_text()}"
                    raise RuntimeError(message) from None
                time.sleep(0.05)
            else:
                return connection
