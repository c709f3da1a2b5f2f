"""Run the app under test in gunicorn: in four workers, forked after it was made, or in a gevent worker."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask_sqlalchemy_testbed.battery import served
from flask_sqlalchemy_testbed.subject import guard

PACKAGE = "flask_sqlalchemy_testbed.battery"
WORKERS = 4
FORKED = ("--preload", "--workers", str(WORKERS), f"{PACKAGE}.served:serve()")
# gevent patches the standard library in the worker: the app must not be imported before.
GREENLETS = ("--worker-class", "gevent", f"{PACKAGE}.greenlets:serve()")
AT_ONCE = 8
# Two workers on one connection may wait forever for each other's results.
ANSWER_WITHIN = 10.0
# The first response includes the start of gunicorn, possibly on a busy machine.
FIRST_WITHIN = 25.0
ALL_WITHIN = 20.0
CONTROL_SOCKET_SINCE = (25, 1)


class Workers:
    """Requests to the workers over TCP."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def send(self, path: str, within: float = ANSWER_WITHIN, *, hang_up: bool = False) -> tuple[str, bytes]:
        """Return the status and the body of one response, or its error and nothing.

        Args:
            path: The path of the request.
            within: Seconds for each part of the response.
            hang_up: Whether to reset the connection after the first byte of the body.
        """
        connection = HTTPConnection(*self._address, timeout=within)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                if hang_up:
                    # The kernel then sends a reset, as for a client that is gone.
                    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with contextlib.closing(connection.getresponse()) as response:
                    return f"status {response.status}", response.read(1 if hang_up else None)
            except (OSError, HTTPException) as error:
                return repr(error), b""

    def ask(self, path: str = served.PATH, within: float = ANSWER_WITHIN) -> dict[str, Any]:
        """Return the JSON of one response, or its error under the key `error`."""
        status, body = self.send(path, within)
        return json.loads(body) if status == "status 200" else {"error": status}

    def answers(self, at_least: int) -> list[dict[str, Any]]:
        """Return at least that many responses, and more until every worker has answered once.

        Each names its process and its connection.
        """
        found = [self.ask(within=FIRST_WITHIN)]
        deadline = time.monotonic() + ALL_WITHIN
        with ThreadPoolExecutor(AT_ONCE) as threads:
            while len(found) < at_least or len({answer.get("process") for answer in found}) < WORKERS:
                found += threads.map(lambda _: self.ask(), range(AT_ONCE))
                if any("error" in answer for answer in found) or time.monotonic() > deadline:
                    break
        return found


@contextlib.contextmanager
def workers(served_app: tuple[str, ...], environment: Mapping[str, str], log: Path) -> Iterator[Workers]:
    """Start gunicorn, with its output in `log`; kill it and all its workers at the end.

    Args:
        served_app: `FORKED` or `GREENLETS`.
        environment: The variables for the app, as `served.environment` returns them.
        log: A file.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, log.open("wb") as output:
        # Requests that come before the workers wait in the socket's backlog.
        command = ["gunicorn", "--config", f"python:{PACKAGE}.gunicorn_settings", *_without_control_socket()]
        refusals = log.with_suffix(".refusals")
        inherited = {name: os.environ[name] for name in os.environ.keys() - {"GUNICORN_CMD_ARGS"}}
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--bind", f"fd://{listener.fileno()}", *served_app],
            env={
                **inherited,
                **guard.environment(refusals),
                **environment,
            },
            pass_fds=[listener.fileno()],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        address = listener.getsockname()
        listener.close()
        try:
            yield Workers(address)
        finally:
            # Workers may hang. The group's id cannot be another's: gunicorn has not been waited for yet.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(ANSWER_WITHIN)
            guard.read_refusals(refusals)


def _without_control_socket() -> list[str]:
    """Return the option that keeps gunicorn's control socket out of the home directory."""
    major, minor = version("gunicorn").split(".")[:2]
    return ["--no-control-socket"] if (int(major), int(minor)) >= CONTROL_SOCKET_SINCE else []
