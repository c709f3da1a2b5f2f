"""What all rows are measured with: throwaway servers, a word for who waits, and how thorough to be."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from flask_sqlalchemy_testbed.servers.network import Server

ROOT = Path(__file__).parent.parent


@dataclass(eq=False)
class Bench:
    """One run of the benchmark; its servers are started on first use and gone when it is over."""

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

    def tell(self, what: str) -> None:
        """Progress, to who waits."""
        seconds = int(time.monotonic() - self._began)
        print(f"[{seconds // 60}:{seconds % 60:02d}] {self.row}: {what}", file=sys.stderr, flush=True)

    def times(self, thorough: int, quick: int = 1) -> int:
        """How often."""
        return quick if self.quick else thorough

    @cached_property
    def run(self) -> Run:
        """With the servers of all backends."""
        return self._started()

    @cached_property
    def rivals(self) -> Run:
        """With others, for those who would make them slower for the rest."""
        return self._started()

    def _started(self) -> Run:
        run = Run(notify=self.tell)
        self._runs.append(run)
        run.start(BACKENDS.values())
        return run

    def servers(self) -> Iterator[tuple[str, Server]]:
        """Each backend's name and server."""
        yield from self.run.servers.items()

    def uri(self, server: Server, which: str, run: Run | None = None) -> str:
        """The URI of a new, empty database, which nothing of the harness watches."""
        name = f"{(run or self.run).name}_{which}"
        server.create(name)
        return server.locate(name).render_as_string(hide_password=False)
