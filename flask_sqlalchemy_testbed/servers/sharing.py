"""Use a server that another process has started: each process has its own databases on it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.servers.files import Directory
from flask_sqlalchemy_testbed.servers.network import NetworkServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.network import Server, ServerContainer


@dataclass(frozen=True)
class Loan:
    """The description of a server for another process.

    It contains the password; its repr does not.
    """

    backend: str
    source: str
    capabilities: tuple[str, ...]
    uri: str = field(default="", repr=False)
    """Empty for a directory."""
    pooler: str = ""
    """The name of the pooler; empty without one."""
    app_uri: str = field(default="", repr=False)
    pooler_container: str = ""
    directory: str = ""
    container: str = ""
    """Docker's id of the container, if the server runs in one."""

    def as_dict(self) -> dict[str, str | list[str]]:
        """Return the description as strings and lists of strings, for `from_dict`."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, str | list[str]]) -> Loan:
        """Return the description that `as_dict` turned into plain values.

        Args:
            values: The result of `as_dict`, perhaps read from JSON.
        """
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})  # type: ignore[arg-type] # by name


def lend(server: Server) -> Loan:
    """Return the description of a server of this process.

    Args:
        server: The server, which is ready.
    """
    return Loan(
        server.backend.name,
        server.source,
        tuple(sorted(server.capabilities)),
        uri=_uri(server.url),
        pooler=server.pooler if isinstance(server, NetworkServer) else "",
        app_uri=_uri(server.app_url) if isinstance(server, NetworkServer) else "",
        pooler_container=_id(server.pooler_container) if isinstance(server, NetworkServer) else "",
        directory=str(server.path) if isinstance(server, Directory) else "",
        container=_id(server.container) if isinstance(server, NetworkServer) else "",
    )


def borrow(loan: Loan) -> Server:
    """Return the server that another process has described.

    Args:
        loan: The description.

    Returns:
        The server; closing it leaves it running.
    """
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - imported by `Run.start`

    backend = BACKENDS[loan.backend]
    if not loan.uri:
        return LentDirectory(backend, Path(loan.directory))
    container = LentContainer(backend, loan) if loan.container else None
    server = LentServer(
        backend,
        make_url(loan.uri),
        source=loan.source,
        container=container,
        pooler=loan.pooler,
        app_url=make_url(loan.app_uri) if loan.app_uri else None,
    )
    if loan.pooler_container:
        server.pooler_container = LentContainer(backend, replace(loan, container=loan.pooler_container))
    return server


def _id(container: ServerContainer | None) -> str:
    return container.id if container is not None else ""


def _uri(url: URL | None) -> str:
    return url.render_as_string(hide_password=False) if url is not None else ""


class LentServer(NetworkServer):
    """The server of another process."""

    def close(self) -> None:
        """Disconnect; the process that owns the server drops or keeps the databases."""
        self.disconnect()


class LentDirectory(Directory):
    """The directory of another process."""

    def __init__(self, backend: Backend, path: Path) -> None:
        self._use(backend, path)

    def close(self) -> None:
        """Do nothing: the process that made the directory removes it."""


class LentContainer:
    """The container of another process."""

    lingers = False

    def __init__(self, backend: Backend, loan: Loan) -> None:
        self.id = loan.container
        self.capabilities = frozenset(loan.capabilities)
        self._backend = backend

    def has_ended(self) -> bool:
        """Return whether the server has stopped running."""
        from flask_sqlalchemy_testbed.servers.containers import has_ended  # noqa: PLC0415 - as below

        return has_ended(self._backend, self.id)

    def log(self, since: float) -> str:
        """Return the log of the server since this `time.time()`."""
        # Docker's client takes 0.3 s to import, and most workers do not need it.
        from flask_sqlalchemy_testbed.servers.containers import log_of  # noqa: PLC0415

        return log_of(self._backend, self.id, since)

    def keep(self, database: str) -> list[str]:
        """Raise NotImplementedError: only the process that started the container can keep it."""
        raise NotImplementedError(database)

    def remove(self) -> None:
        """Do nothing: the process that started the container removes it."""
