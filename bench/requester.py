"""`python -m bench.requester`: a process that makes requests of one subject when told to, and times them.

A process each, since Python fits its bytecode to what runs in it: subjects that took turns in one would
pay for each other. Its standard input says {"subject", "uri"}, then {"requests"} as often as one likes: with
a {"clock"} it answers how long they took, without one how many bytecodes they were.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any

from bench.sampling import timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from flask import Flask

WARM = 100


class Requester:
    """The process, from outside; close it."""

    def __init__(self, subject: str, uri: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.requester"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask(subject=subject, uri=uri)

    def seconds(self, requests: int, clock: str) -> float:
        """A request takes by that clock (`time.perf_counter` or another), as the mean of so many."""
        return float(self._ask(requests=requests, clock=clock)["seconds"]) / requests

    def bytecodes(self, requests: int) -> float:
        """A request takes, as the mean of so many; what Python calls in C is not counted."""
        return float(self._ask(requests=requests)["bytecodes"]) / requests

    def close(self) -> None:
        """Ends it."""
        with self._process as process:
            process.kill()

    def _ask(self, **question: Any) -> Any:
        pipes: tuple[Any, Any] = self._process.stdin, self._process.stdout
        print(json.dumps(question), file=pipes[0], flush=True)
        answer = pipes[1].readline()
        if not answer:
            message = f"A requester ended with {self._process.wait()}; what it wrote is above."
            raise RuntimeError(message)
        return json.loads(answer)


@contextlib.contextmanager
def requesters(subjects: list[str], uris: list[str]) -> Iterator[dict[str, Requester]]:
    """One process a subject."""
    with contextlib.ExitStack() as stack:
        yield {
            subject: stack.enter_context(contextlib.closing(Requester(subject, uri)))
            for subject, uri in zip(subjects, uris, strict=True)
        }


def request(app: Flask, environ: dict[str, Any]) -> bytes:
    """One request, as a WSGI server makes it."""
    body = app(dict(environ), lambda *_: lambda _: None)
    try:
        return b"".join(body)
    finally:
        body.close()  # type: ignore[attr-defined] # Werkzeug's bodies have one


def serve(told: IO[str]) -> None:
    """Does as it is told, until there is no more."""
    from werkzeug.test import create_environ  # noqa: PLC0415 - who only asks needs no app

    from bench.subjects import NAME, SUBJECTS  # noqa: PLC0415

    first = json.loads(told.readline())
    app, environ = SUBJECTS[first["subject"]](first["uri"]), create_environ("/")
    for _ in range(WARM):
        if (body := request(app, environ)) != NAME.encode():
            message = f"{first['subject']} answered {body!r}"
            raise RuntimeError(message)
    gc.collect()
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    for line in told:
        asked = json.loads(line)

        def work(requests: int = asked["requests"]) -> None:
            for _ in range(requests):
                request(app, environ)

        if clock := asked.get("clock"):
            print(json.dumps({"seconds": timed(work, getattr(time, clock))}), flush=True)
        else:
            print(json.dumps({"bytecodes": bytecodes(work)}), flush=True)


def bytecodes(work: Callable[[], None]) -> int:
    """How many instructions of Python it executes in this thread."""
    executed = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal executed
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        executed += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return executed


if __name__ == "__main__":
    serve(sys.stdin)
