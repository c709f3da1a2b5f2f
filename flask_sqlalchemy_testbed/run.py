"""One run of the tests: the servers it was asked for, its databases on them, and the end of it all."""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.isolation import Isolation
from flask_sqlalchemy_testbed.servers import files
from flask_sqlalchemy_testbed.servers.network import expected_capabilities, obtain
from flask_sqlalchemy_testbed.servers.readiness import ServerError
from flask_sqlalchemy_testbed.servers.reaper import Reaper
from flask_sqlalchemy_testbed.servers.sharing import borrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.leaks.probe import Probe
    from flask_sqlalchemy_testbed.servers.containers import Container
    from flask_sqlalchemy_testbed.servers.network import Server
    from flask_sqlalchemy_testbed.servers.sharing import Loan


# Seconds that looking for what killed runs left may hold up the end of one.
SWEEPING = 5.0


class Owner(Protocol):
    """Who has the servers that a run only uses."""

    def lend(self, backend: str) -> Loan:
        """The server of that backend; `ServerError` says why there is none."""


class Run:
    """Owns everything that has to be gone when the tests are over.

    `tell` is called with a line for the person who waits. A worker of a parallel run gets its servers from
    the `owner`, who keeps them up and removes them; its databases on them are its own. End it with `close`;
    should the process end without, the reaper does what can be done from outside.
    """

    def __init__(  # noqa: PLR0913 - all have names
        self,
        *,
        name: str = "",
        session: str = "",
        within: float = 60.0,
        tell: Callable[[str], None] = print,
        owner: Owner | None = None,
        keep_servers: bool = False,
    ) -> None:
        self.name = name or new_name()
        self._owner = owner
        self.servers: dict[str, Server] = {}
        self._session = session
        self._within = within
        self._tell = tell
        self._reaper: Reaper | None = None
        self._isolations: dict[tuple[str, str], Isolation] = {}
        self._listening = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._imported = threading.Event()
        self._coming: list[Future[Server]] = []
        self._keep_servers = keep_servers
        self._engine: Backend | None = None
        self._sweeping: threading.Thread | None = None

    @cached_property
    def probe(self) -> Probe:
        """What looks for leaks; it listens from `watch` on."""
        from flask_sqlalchemy_testbed.leaks.probe import Probe  # noqa: PLC0415 - imported by `start`

        return Probe(self._session)

    def start(self, backends: Iterable[Backend]) -> None:
        """Gets the servers of these backends, all at once; `ServerError` tells of each that cannot be had."""
        if self._stopped.is_set():
            message = "The run is over."
            raise ServerError(message)
        wanted = [backend for backend in backends if backend.name not in self.servers]
        errors = []
        if self._owner is None and any("container" in expected_capabilities(backend) for backend in wanted):
            import flask_sqlalchemy_testbed.servers.containers  # noqa: F401, PLC0415 - first: it is what they wait for
        with ThreadPoolExecutor(max(1, len(wanted))) as threads:
            coming = [threads.submit(self._obtain, backend) for backend in wanted]
            self._coming += coming
            self._import_the_rest()
            try:
                for server in coming:
                    try:
                        self.servers[server.result().backend.name] = server.result()
                    except ServerError as error:
                        errors.append(str(error))
            except BaseException:
                # Who waits in a thread would hold up the end.
                self._stopped.set()
                raise
        if errors:
            raise ServerError("\n".join(errors))
        self._sweep_beside()

    def server(self, backend: Backend) -> Server:
        """The server of that backend, got now if it was not asked for before."""
        self.start([backend])
        return self.servers[backend.name]

    def isolation(self, server: Server, which: str = "") -> Isolation:
        """The run's database on that server, with what keeps it clean; `which` tells apart several there."""
        self.watch()
        key = server.backend.name, which
        if key not in self._isolations:
            name = f"{self.name}_{which}" if which else self.name
            if which:  # The first comes with its server.
                server.create(name)
            self._isolations[key] = Isolation(server, name)
        return self._isolations[key]

    def watch(self) -> Probe:
        """What listens to pools and sessions, from now on."""
        if not self._listening:
            self.probe.install()
            self._listening = True
        return self.probe

    def keep(self, backend: str, database: str) -> list[str]:
        """Leaves that database and its server after the run; answers how to look into it and remove it."""
        if self._reaper is not None:
            self._reaper.keep(backend)
        return self.servers[backend].keep(database)

    def close(self) -> None:
        """Removes it all; several calls do no harm, nor does one in a process that a test has forked."""
        if os.getpid() != self._pid:
            return
        self._stopped.set()
        if self._listening:
            self.probe.remove()
            self._listening = False
        for isolation in self._isolations.values():
            isolation.database.connection.close()
        self._isolations.clear()
        coming, self._coming, self.servers = self._coming, [], {}
        servers = [server.result() for server in coming if server.done() and not server.exception()]
        with ThreadPoolExecutor(max(1, len(servers))) as threads:
            removed = all(list(threads.map(_close, servers)))
        if self._sweeping is not None:
            self._sweeping.join(SWEEPING)
        if self._reaper is not None:
            ended = removed and all(server.done() for server in coming)
            reaped = any(getattr(server, "is_reaped", False) for server in servers)
            if ended and reaped:
                self._reaper.finish()
            self._reaper.dismiss(all_gone=ended and not reaped)
            self._reaper = None

    def _obtain(self, backend: Backend) -> Server:
        if self._owner is not None or "container" not in expected_capabilities(backend):
            self._imported.wait()
        if self._owner is not None:
            return self._borrowed(self._owner, backend)
        if backend.recipe is not None:
            server = obtain(
                backend,
                self.name,
                start=self._start_meanwhile,
                within=self._within,
                stopped=self._stopped,
                tell=self._tell,
            )
            # To kill a server and to give back its memory takes a while, which nobody has to wait for.
            server.is_reaped = self._reaper is not None and self._reaper.is_there()
            return server
        directory = files.Directory(backend, self.name)
        self._reap().watch_directory(backend.name, directory.path)
        return directory

    def _import_the_rest(self) -> None:
        """What is slow to import, SQLAlchemy above all, while the engine takes its time to start containers.

        In this thread only: where several import it at once, one finds the half of it.
        """
        try:
            import flask_sqlalchemy_testbed.leaks.probe  # noqa: F401, PLC0415
        finally:
            self._imported.set()

    def _start_meanwhile(self, backend: Backend) -> Container:
        container = self.start_container(backend, stays=self._keep_servers)
        self._imported.wait()
        return container

    def _borrowed(self, owner: Owner, backend: Backend) -> Server:
        server = borrow(owner.lend(backend.name))
        try:
            server.create(self.name)
        except BaseException:
            server.close()
            raise
        return server

    def start_container(
        self,
        backend: Backend,
        *,
        flags: Sequence[str] = (),
        size: int | None = None,
        port: int | None = None,
        stays: bool = False,
    ) -> Container:
        """Starts one that is gone, at the latest, when the run is; see `Container.start`."""
        # Docker's client takes 0.3 s to import, and most runs need none.
        from flask_sqlalchemy_testbed.servers import images  # noqa: PLC0415
        from flask_sqlalchemy_testbed.servers.containers import Container  # noqa: PLC0415

        client = images.connect(backend)
        self._engine = backend
        self._reap().watch_containers()
        return Container.start(
            client,
            backend,
            run=self.name,
            tell=self._tell,
            flags=flags,
            size=size,
            port=port,
            stays=stays,
        )

    def _sweep_beside(self) -> None:
        """Removes what killed runs left, while the tests already run."""
        if self._owner is not None or self._sweeping is not None:
            return
        self._sweeping = threading.Thread(target=_sweep, args=[self._engine], daemon=True)
        self._sweeping.start()

    def _reap(self) -> Reaper:
        """The process that cleans up if this one cannot."""
        with self._lock:
            if self._reaper is None:
                self._reaper = Reaper(self.name)
            return self._reaper


def _sweep(engine: Backend | None) -> None:
    with contextlib.suppress(Exception):  # The next run does the same.
        files.sweep()
        if engine is not None:
            from flask_sqlalchemy_testbed.servers import containers, images  # noqa: PLC0415

            containers.sweep(images.connect(engine))


def _close(server: Server) -> bool:
    try:
        server.close()
    except Exception:  # noqa: BLE001
        return False
    return True
