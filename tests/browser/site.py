"""Serve the trial for the tests of its page: composed, or in a process with SQLite."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.stack.stack import ROOT, Stack, composed, eventually, free_ports

ALL = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True)
class Site:
    """The address of the page, and its backends."""

    url: str
    backends: tuple[str, ...]
    stack: Stack | None = None


@contextmanager
def served(backends: tuple[str, ...] = ALL) -> Iterator[Site]:
    """Start the composed stack; for SQLite alone, start a process, which needs no Docker."""
    if backends == ("sqlite",):
        with _process() as site:
            yield site
    else:
        with composed() as stack:
            yield Site(f"http://127.0.0.1:{stack.ports['app']}", ALL, stack)


@contextmanager
def _process() -> Iterator[Site]:
    (port,) = free_ports("app").values()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as directory:
        uri = f"sqlite:///{directory}/ledger.db"
        environment = {"TRIAL_BACKENDS": "sqlite", "APP_PORT": str(port), "SQLITE_URI": uri}
        with (
            Path(directory, "log").open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-m", "trials"],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                eventually(lambda: _answers(url))
                yield Site(url, ("sqlite",))
            finally:
                process.terminate()


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/healthz", timeout=1) as answer:  # noqa: S310 - a local address
            return bool(answer.status == 200)
    except URLError as error:
        raise ConnectionError(repr(error)) from error
