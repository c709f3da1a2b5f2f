"""A server that one process has and others use: a parallel run's workers, each with databases of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers.files import Directory
from flask_sqlalchemy_testbed.servers.network import NetworkServer

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.network import Server


@dataclass(frozen=True)
class Loan:
    """All that another process needs to use a server; it goes over no wire that others can read."""

    backend: str
    source: str
    capabilities: frozenset[str]
    uri: str | None = field(default=None, repr=False)
    directory: str = ""
    container: str = ""


def lend(server: Server) -> Loan:
    """What stands for that server elsewhere."""
    return Loan(
        server.backend.name,
        server.source,
        server.capabilities,
        uri=server.url.render_as_string(hide_password=False) if server.url is not None else None,
        directory=str(server.path) if isinstance(server, Directory) else "",
        container=server.container.id if isinstance(server, NetworkServer) and server.container else "",
    )


def borrow(loan: Loan) -> Server:
    """The server, to be used here; closing it leaves it to its owner."""
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - imported by `Run.start`

    backend = BACKENDS[loan.backend]
    if loan.uri is None:
        return LentDirectory(backend, Path(loan.directory))
    container = LentContainer(backend, loan) if loan.container else None
    return NetworkServer(backend, make_url(loan.uri), source=loan.source, container=container)


class LentDirectory(Directory):
    """The run's directory, in one of its workers."""

    def __init__(self, backend: Backend, path: Path) -> None:
        self._use(backend, path)

    def close(self) -> None:
        """It goes with the run."""


class LentContainer:
    """A container that its owner removes."""

    def __init__(self, backend: Backend, loan: Loan) -> None:
        self.id = loan.container
        self.source = loan.source
        self.capabilities = loan.capabilities
        self.stays = False
        self._backend = backend

    def log(self, since: float) -> str:
        """What the server wrote since then."""
        # Docker's client takes 0.3 s to import, and most workers need none.
        from flask_sqlalchemy_testbed.servers.containers import log_of  # noqa: PLC0415

        return log_of(self._backend, self.id, since)

    def keep(self, database: str) -> list[str]:
        """Only its owner can."""
        raise NotImplementedError(database)

    def remove(self) -> None:
        """It goes with the run."""
