"""A pytest plugin that runs the tests on the servers of another process, in databases of their own.

Unlike a server that is given by its URI, a lent server is known to be a throwaway container: the checks
that need one apply. `written` writes the file that `$TESTS_LENT` names.
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
    """Write the loans of these servers to `path`, readable by this user alone.

    Returns:
        The environment variables of the process that borrows the servers.
    """
    path.touch(mode=0o600)
    path.write_bytes(pickle.dumps({server.backend.name: lend(server) for server in servers}))
    return {VARIABLE: str(path)}


class Lender:
    """Lends the servers of the file."""

    def __init__(self) -> None:
        self._loans: dict[str, Loan] = pickle.loads(Path(os.environ[VARIABLE]).read_bytes())  # noqa: S301 - our own

    def lend(self, backend: str) -> Loan:
        """Return the loan of the server of `backend`."""
        return self._loans[backend]


def pytest_configure(config: pytest.Config) -> None:
    # Hundreds of failures are expected here: do not fetch the server's log for each.
    LentContainer.log = lambda *_: ""  # type: ignore[method-assign]
    run = config.stash[state.RUN] = Run(owner=Lender())
    config.add_cleanup(lambda: _end(run))


def _end(run: Run) -> None:
    """Drop the databases of the run: hundreds of them would fill the servers' memory."""
    for server in run.servers.values():
        for name in (run.name, f"{run.name}_other"):
            with contextlib.suppress(Exception):
                server.drop(name)
    run.close()
