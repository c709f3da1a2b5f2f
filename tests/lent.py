"""A pytest plugin: the tests run on servers that another process keeps up, with databases of their own.

Unlike a server given by URI, one that is lent so is known to be a throwaway container: checks that need
that apply. `written` makes the file that `$TESTS_LENT` names.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.sharing import LentContainer, Loan, lend

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from flask_sqlalchemy_testbed.servers.network import Server

VARIABLE = "TESTS_LENT"


def written(path: Path, servers: Iterable[Server]) -> dict[str, str]:
    """What another process needs in its environment, to be lent these; `path` is for its user alone."""
    path.touch(mode=0o600)
    path.write_bytes(pickle.dumps({server.backend.name: lend(server) for server in servers}))
    return {VARIABLE: str(path)}


class Lender:
    """Has what was written."""

    def __init__(self) -> None:
        self._loans: dict[str, Loan] = pickle.loads(Path(os.environ[VARIABLE]).read_bytes())  # noqa: S301 - our own

    def lend(self, backend: str) -> Loan:
        """The server of that backend, as `Run` wants it."""
        return self._loans[backend]


def pytest_configure(config: pytest.Config) -> None:
    # Of hundreds of failures that are wanted nobody reads the server's log.
    LentContainer.log = lambda *_: ""  # type: ignore[method-assign]
    run = config.stash[state.RUN] = Run(owner=Lender())
    config.add_cleanup(lambda: _end(run))


def _end(run: Run) -> None:
    """Its databases are dropped: hundreds of them would fill the servers' memory."""
    for server in run.servers.values():
        for name in (run.name, f"{run.name}_other"):
            with contextlib.suppress(Exception):
                server.drop(name)
    run.close()
