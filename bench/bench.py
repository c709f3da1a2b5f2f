"""Give all rows their servers, their number of samples, and a way to report progress."""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from flask_sqlalchemy_testbed.backends import BACKENDS, Backend
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.network import Server

ROOT = Path(__file__).parent.parent
# The databases that the goals are about: MariaDB has none, and its image need not be there.
DATABASES: dict[str, Backend] = {name: backend for name, backend in BACKENDS.items() if backend.by_default}


@dataclass(eq=False)
class Bench:
    """A run of the benchmark. Servers start on first use, and end with the `with` block."""

    quick: bool = False
    row: str = ""
    _runs: list[Run] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for run in self._runs:
            run.close()

    def progress(self, message: str) -> None:
        """Print how far the row is, with the time since the start."""
        seconds = int(time.monotonic() - self._began)
        print(f"[{seconds // 60}:{seconds % 60:02d}] {self.row}: {message}", file=sys.stderr, flush=True)

    def times(self, thorough: int, quick: int = 1) -> int:
        """Return how often to measure: `thorough` times, or `quick` times in a quick run."""
        return quick if self.quick else thorough

    @cached_property
    def run(self) -> Run:
        """Return the servers of all databases."""
        return self._started()

    @cached_property
    def rivals(self) -> Run:
        """Return other servers, for alternatives that would slow down the first ones."""
        return self._started()

    def _started(self) -> Run:
        run = Run(notify=self.progress)
        self._runs.append(run)
        run.start(DATABASES.values())
        return run

    def servers(self) -> Iterator[tuple[str, Server]]:
        """Yield the name and server of each database."""
        yield from self.run.servers.items()

    def uri(self, server: Server, which: str, run: Run | None = None) -> str:
        """Create an empty database, and return its URI with the password."""
        name = f"{(run or self.run).name}_{which}"
        server.create(name)
        return server.locate(name).render_as_string(hide_password=False)
