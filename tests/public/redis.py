"""Start a Redis server for an application that needs one."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 10.0


class RedisMissingError(Exception):
    """No program `redis-server` is installed."""


@contextmanager
def redis_server() -> Iterator[int]:
    """Run a Redis server on a free port of this machine; yield the port.

    Raises:
        RedisMissingError: no program `redis-server` is installed.
    """
    if (program := shutil.which("redis-server")) is None:
        message = "it needs a Redis server, and no redis-server is installed here."
        raise RedisMissingError(message)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--loglevel", "notice"]
    server = subprocess.Popen(
        [program, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        for line in server.stdout:
            if "Ready to accept connections" in line:
                break
        yield port
    finally:
        server.terminate()
        server.wait(SECONDS)
