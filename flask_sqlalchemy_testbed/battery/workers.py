"""Run the app under test in gunicorn: four workers, forked after it was made."""

import contextlib
import json
import os
import signal
import socket
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

SERVED = "flask_sqlalchemy_testbed.battery.served:serve()"
WORKERS = 4
AT_ONCE = 8
# Two workers on one connection may wait forever for each other's results.
ANSWER_WITHIN = 10.0
# The first response includes the start of gunicorn, possibly on a busy machine.
FIRST_WITHIN = 25.0
ALL_WITHIN = 20.0
CONTROL_SOCKET_SINCE = (25, 1)


class Workers:
    """Requests to the workers over TCP, each answered with its process and its connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def ask(self, within: float = ANSWER_WITHIN) -> dict[str, Any]:
        """Return the JSON of one response, or its error under the key `error`."""
        connection = HTTPConnection(*self._address, timeout=within)
        with contextlib.closing(connection):
            try:
                connection.request("GET", served.PATH)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, HTTPException) as error:
                return {"error": repr(error)}
        return json.loads(body) if answer.status == 200 else {"error": answer.status}  # noqa: PLR2004

    def answers(self, at_least: int) -> list[dict[str, Any]]:
        """Return at least that many responses, and more until every worker has answered once."""
        found = [self.ask(FIRST_WITHIN)]
        deadline = time.monotonic() + ALL_WITHIN
        with ThreadPoolExecutor(AT_ONCE) as threads:
            while len(found) < at_least or len({answer.get("process") for answer in found}) < WORKERS:
                found += threads.map(lambda _: self.ask(), range(AT_ONCE))
                if any("error" in answer for answer in found) or time.monotonic() > deadline:
                    break
        return found


@contextlib.contextmanager
def workers(environment: Mapping[str, str], log: Path) -> Iterator[Workers]:
    """Start gunicorn, with its output in `log`; kill it and all its workers at the end.

    Args:
        environment: The variables for the app, as `served.environment` returns them.
        log: A file.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener, log.open("wb") as output:
        # Requests that come before the workers wait in the socket's backlog.
        command = ["gunicorn", "--preload", "--workers", str(WORKERS), *_without_control_socket()]
        # Without it gunicorn would run the project's own gunicorn.conf.py.
        command += ["--config", f"python:{served.__name__}"]
        refusals = log.with_suffix(".refusals")
        inherited = {name: os.environ[name] for name in os.environ.keys() - {"GUNICORN_CMD_ARGS"}}
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--bind", f"fd://{listener.fileno()}", SERVED],
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
