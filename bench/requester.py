"""`python -m bench.requester`: make requests to one contender, and measure their time.

Each contender has a process of its own: Python specializes bytecode for the code that runs in a process, so
contenders that took turns in one process would slow each other down. The process reads {"contender", "uri"}
from its standard input, then any number of {"requests", "clock", "path"}, and answers each with {"seconds"}.
"""

import contextlib
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import IO, Any

from flask import Flask

from bench.sampling import timed

WARM = 100


class Requester:
    """The process as its parent sees it. Close it after use."""

    def __init__(self, contender: str, uri: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.requester"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask(contender=contender, uri=uri)

    def seconds(self, requests: int, clock: str, path: str = "/") -> float:
        """Return the mean seconds of a request by a clock of the module `time`."""
        return float(self._ask(requests=requests, clock=clock, path=path)["seconds"]) / requests

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            process.kill()

    def _ask(self, **order: Any) -> Any:
        pipes: tuple[Any, Any] = self._process.stdin, self._process.stdout
        print(json.dumps(order), file=pipes[0], flush=True)
        answer = pipes[1].readline()
        if not answer:
            message = f"A requester ended with status {self._process.wait()}. Its errors are above."
            raise RuntimeError(message)
        return json.loads(answer)


@contextlib.contextmanager
def requesters(contenders: list[str], uris: list[str]) -> Iterator[dict[str, Requester]]:
    """Start a process for each contender, each with a URI."""
    with contextlib.ExitStack() as stack:
        yield {
            contender: stack.enter_context(contextlib.closing(Requester(contender, uri)))
            for contender, uri in zip(contenders, uris, strict=True)
        }


def request(app: Flask, environ: dict[str, Any]) -> bytes:
    """Make a request as a WSGI server does, and return the body."""
    body = app(dict(environ), lambda *_: lambda _: None)
    try:
        return b"".join(body)
    finally:
        body.close()  # type: ignore[attr-defined] # Werkzeug's bodies have one


def serve(orders: IO[str]) -> None:
    """Carry out the orders, one a line, until there are no more."""
    from werkzeug.test import create_environ  # noqa: PLC0415 - the parent process needs no app

    from bench.contenders import CONTENDERS, NAME  # noqa: PLC0415

    first = json.loads(orders.readline())
    app = CONTENDERS[first["contender"]](first["uri"])

    def work(requests: int, environ: dict[str, Any]) -> None:
        for _ in range(requests):
            if (body := request(app, environ)) != NAME.encode():
                message = f"{first['contender']} answered {body!r}"
                raise RuntimeError(message)

    work(WARM, create_environ("/"))
    gc.collect()
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for line in orders:
        order = json.loads(line)
        measured = partial(work, order["requests"], create_environ(order["path"]))
        print(json.dumps({"seconds": timed(measured, getattr(time, order["clock"]))}), flush=True)


if __name__ == "__main__":
    serve(sys.stdin)
