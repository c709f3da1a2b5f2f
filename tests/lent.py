"""Run tests on the servers of another process, in databases of their own: a plugin.

Unlike a server that is given by its URI, a lent server is known to be a throwaway container: the checks
that need one apply. `written` writes the file that `$TESTS_LENT` names.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.run import Run
from flask_sqlalchemy_testbed.servers.network import Server
from flask_sqlalchemy_testbed.servers.sharing import LentContainer, Loan, lend

VARIABLE = "TESTS_LENT"


def written(path: Path, servers: Iterable[Server]) -> dict[str, str]:
    """Write the loans of these servers to `path`, readable by this user alone.

    Returns:
        The environment variables of the process that borrows the servers.
    """
    path.touch(mode=0o600)
    path.write_text(json.dumps({server.backend.name: lend(server).as_dict() for server in servers}))
    return {VARIABLE: str(path)}


def pytest_configure(config: pytest.Config) -> None:
    # Hundreds of failures are expected here: do not fetch the server's log for each.
    LentContainer.log = lambda *_: ""  # type: ignore[method-assign]
    loans = {
        name: Loan.from_dict(loan)
        for name, loan in json.loads(Path(os.environ[VARIABLE]).read_text()).items()
    }
    run = config.stash[state.RUN] = Run(loan_of=loans.__getitem__)
    config.add_cleanup(lambda: _end(run))


def _end(run: Run) -> None:
    """Drop the databases of the run: hundreds of them would fill the servers' memory."""
    for server in run.servers.values():
        for name in (run.name, f"{run.name}_other"):
            with contextlib.suppress(Exception):
                server.drop(name)
    run.close()
