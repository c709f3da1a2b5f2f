"""The values that the controller of a parallel run passes to its workers.

The controller starts every server. Its description is in `workerinput` when the command line names the
backend. A backend that only the configuration file names is started when collection has shown that a test
needs it, before the first test runs; its description is then in a file in pytest's temporary directory, which
pytest-xdist recommends for data that workers share. No password of a given server is passed: a worker reads
the same environment variables as its controller.

Workers send their findings as attributes of their reports (`reporting`, `failures`), so that a crash loses
nothing that was found before it.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.backends import BACKENDS

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.servers.network import Server
    from flask_sqlalchemy_testbed.servers.sharing import Loan

# The file with the servers that were started after collection.
LATE_SERVERS = "testbed-servers.json"


class Worker:
    """The values that the controller has passed to this worker, such as the servers to borrow."""

    def __init__(self, run: str, directory: str, servers: dict[str, dict[str, Any]]) -> None:
        self.run = run
        self.kept = Path(directory, "testbed-kept")
        """Exists when a worker has met a failure that is kept (--testbed-keep-failed)."""
        self._started_later = Path(directory, LATE_SERVERS)
        self._servers = servers

    def loan_of(self, backend: str) -> Loan | None:
        """Return the description of a server.

        Args:
            backend: the name of its backend.

        Returns:
            None if no id of a collected test named the backend: then this worker starts a server of its own.

        Raises:
            ServerError: the controller could not start the server.
        """
        if backend not in self._servers and self._started_later.exists():
            self._servers |= json.loads(self._started_later.read_text(encoding="utf-8"))
        values = self._servers.get(backend, {})
        if error := values.get("error"):
            from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - on use

            raise ServerError(error)
        return _loan(values) if values else None


def description(server: Server) -> dict[str, Any]:
    """Return the description of a server of this process, for `Worker`."""
    from flask_sqlalchemy_testbed.servers.given import variable  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.servers.sharing import lend  # noqa: PLC0415 - on use

    values = lend(server).as_dict()
    if os.environ.get(variable(server.backend)):
        values["uri"] = ""
    return values


def _loan(values: dict[str, Any]) -> Loan:
    from flask_sqlalchemy_testbed.servers.given import given_url  # noqa: PLC0415 - on use
    from flask_sqlalchemy_testbed.servers.sharing import Loan  # noqa: PLC0415 - on use

    loan = Loan.from_dict(values)
    if loan.uri or loan.directory or (given := given_url(BACKENDS[loan.backend])) is None:
        return loan
    return replace(loan, uri=given[1].render_as_string(hide_password=False))
