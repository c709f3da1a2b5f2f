"""One run of the tests: its servers, its databases on them, and their removal."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cached_property
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import new_name
from flask_sqlalchemy_testbed.backends.connection import importing
from flask_sqlalchemy_testbed.backends.drivers import MissingDriverError
from flask_sqlalchemy_testbed.isolation import Isolation
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.servers import files
from flask_sqlalchemy_testbed.servers.found import find
from flask_sqlalchemy_testbed.servers.given import given_url
from flask_sqlalchemy_testbed.servers.network import expected_capabilities, given_server, server_in
from flask_sqlalchemy_testbed.servers.readiness import ServerError, wait_until_ready
from flask_sqlalchemy_testbed.servers.reaper import Reaper
from flask_sqlalchemy_testbed.servers.sharing import borrow
from flask_sqlalchemy_testbed.servers.unchanged import ServerChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe
    from flask_sqlalchemy_testbed.leaks.probe import Probe
    from flask_sqlalchemy_testbed.servers.containers import Container
    from flask_sqlalchemy_testbed.servers.found import FoundContainer
    from flask_sqlalchemy_testbed.servers.network import NetworkServer, Server
    from flask_sqlalchemy_testbed.servers.pairs import Pair
    from flask_sqlalchemy_testbed.servers.sharing import Loan


# A server that is running already should answer at once; it may just be restarting.
RUNNING_SERVER_TIMEOUT = 5.0
# How often a run looks for a lingering server before it starts one for itself alone.
ATTEMPTS = 3
# How long the end of a run waits for the removal of the remains of killed runs. On a busy machine, the engine
# needs several seconds for each container.
SWEEP_TIMEOUT = 15.0
# How long it waits for a start that was cancelled. A pull or a build ends with the process.
CANCEL_TIMEOUT = 1.0


class Run:
    """Owns the servers and databases of a run; `close` removes them.

    If the process ends without `close`, the reaper removes the containers and directories.

    Args:
        name: The name of the run and of its first database; unique by default.
        session: The session of the app under test, as `module:attribute`.
        within: The seconds that a server may take to get ready.
        notify: Called with lines of text for the person who waits.
        loan_of: If another process owns the servers, such as the controller of a parallel run: returns
            the description of a backend's server, given the backend's name, or None if this run has to
            make the server itself. It may raise ServerError.
        pooler: Put this pooler between the app and its server, on backends that have it; empty for none.
        linger: The seconds for which servers in containers linger after the run; it uses those that linger
            from an earlier run. With 0 it starts servers of its own and removes them.
    """

    def __init__(  # noqa: PLR0913 - all have names
        self,
        *,
        name: str = "",
        session: str = "",
        within: float = 60.0,
        notify: Callable[[str], None] = print,
        loan_of: Callable[[str], Loan | None] | None = None,
        pooler: str = "",
        linger: int = 0,
    ) -> None:
        self.name = name or new_name()
        self.servers: dict[str, Server] = {}
        """The servers that are ready, by the names of their backends."""
        self._session = session
        self._within = within
        self._notify = notify
        self._loan_of = loan_of
        self.pooler = pooler
        self._linger = linger
        self._found: dict[str, FoundContainer] = {}
        self._reaper: Reaper | None = None
        self._isolations: dict[tuple[str, str], Isolation] = {}
        self._probe_is_installed = False
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._imported = threading.Event()
        self._futures: list[Future[Server]] = []
        self._unusable: dict[str, str] = {}
        self._backend_in_docker: Backend | None = None
        self._sweeper: threading.Thread | None = None

    @cached_property
    def probe(self) -> Probe:
        """Return the probe that finds leaks; it records from `install_probe` on."""
        from flask_sqlalchemy_testbed.leaks.probe import Probe  # noqa: PLC0415 - imported by `start`

        return Probe(self._session)

    def start(self, backends: Iterable[Backend]) -> None:
        """Make the servers of these backends ready, all at the same time.

        Args:
            backends: The kinds of servers. Servers that are ready stay as they are, and a server that
                could not be used is not tried again: each test would wait for its time limit.

        Raises:
            ServerError: Servers cannot be used; the message has a line for each.
        """
        if self._cancelled.is_set():
            message = "The run is over."
            raise ServerError(message)
        wanted = [backend for backend in backends if backend.name not in self.servers]
        errors = [self._unusable[backend.name] for backend in wanted if backend.name in self._unusable]
        wanted = [backend for backend in wanted if backend.name not in self._unusable]
        of_container = [backend for backend in wanted if "container" in expected_capabilities(backend)]
        if self._loan_of is None and any(not self._finds(backend) for backend in of_container):
            # First, because all threads need it.
            import flask_sqlalchemy_testbed.servers.containers  # noqa: F401, PLC0415
        futures = [self._start_in_background(backend) for backend in wanted]
        self._futures += futures
        try:
            self._import_sqlalchemy()
            for backend, future in zip(wanted, futures, strict=True):
                try:
                    self.servers[backend.name] = future.result()
                except (ServerError, MissingDriverError) as error:
                    self._unusable[backend.name] = str(error)
                    errors.append(str(error))
        except BaseException:
            self._cancelled.set()
            raise
        if errors:
            raise ServerError("\n".join(errors))
        self._start_sweeper()

    def server(self, backend: Backend) -> Server:
        """Return the server of this backend; make it ready now if it is not.

        Args:
            backend: The kind of server.

        Raises:
            ServerError: It cannot be used.
        """
        self.start([backend])
        return self.servers[backend.name]

    def isolation(self, server: Server, which: str = "") -> Isolation:
        """Return the isolation of a database of the run on this server.

        Args:
            server: A server of the run.
            which: A name, if the test needs more than one database there; each is created on first use.
        """
        self.install_probe()
        key = server.backend.name, which
        if key not in self._isolations:
            name = f"{self.name}_{which}" if which else self.name
            if which:  # The server came with the first database.
                server.create(name)
            self._isolations[key] = Isolation(server, name, self.probe.statements)
        return self._isolations[key]

    def install_probe(self) -> Probe:
        """Return the probe, which records pools and sessions from the first call on."""
        if not self._probe_is_installed:
            self.probe.install()
            self._probe_is_installed = True
        return self.probe

    def drop_databases(self) -> None:
        """Drop the databases of this run on servers that another process owns, as far as that is possible."""
        for (backend, which), isolation in self._isolations.items():
            isolation.database.connection.close()
            with contextlib.suppress(Exception):  # The owner drops the others at its end.
                self.servers[backend].drop(f"{self.name}_{which}" if which else self.name)

    def keep(self, backend: str, database: str) -> list[str]:
        """Leave a database and its server after the run.

        Args:
            backend: The name of the backend.
            database: The name of the database.

        Returns:
            Lines of text: how to inspect and how to remove them.
        """
        if self._reaper is not None:
            self._reaper.keep(backend)
        return self.servers[backend].keep(database)

    def close(self) -> None:
        """Remove everything. Further calls do nothing, and neither does a call in a forked process."""
        if os.getpid() != self._pid:
            return
        self._cancelled.set()
        if self._probe_is_installed:
            self.probe.remove()
            self._probe_is_installed = False
        for isolation in self._isolations.values():
            isolation.database.connection.close()
        self._isolations.clear()
        futures, self._futures, self.servers = self._futures, [], {}
        wait(futures, timeout=CANCEL_TIMEOUT)
        servers = [future.result() for future in futures if future.done() and not future.exception()]
        # The reaper may have been killed since the servers got ready.
        is_reaped = self._reaper is not None and self._reaper.is_running()
        for server in servers:
            server.is_reaped = server.is_reaped and is_reaped
        with ThreadPoolExecutor(max(1, len(servers))) as threads:
            all_closed = all(list(threads.map(_close, servers)))
        if self._sweeper is not None:
            self._sweeper.join(SWEEP_TIMEOUT)
        if self._reaper is not None:
            ended = all_closed and all(future.done() for future in futures)
            reaped = any(server.is_reaped for server in servers)
            if ended and reaped:
                self._reaper.finish()
            self._reaper.dismiss(all_gone=ended and not reaped)
            self._reaper = None

    def start_container(  # noqa: PLR0913 - all but the first have names
        self,
        backend: Backend,
        *,
        flags: Sequence[str] = (),
        size: int | None = None,
        port: int | None = None,
        linger: int = 0,
        recipe: Recipe | None = None,
    ) -> Container:
        """Start a container that the reaper removes, unless it lingers.

        Args:
            backend: The kind of server.
            flags: More arguments for the server.
            size: The limit of the data in bytes.
            port: The port of this machine; None means any.
            linger: As for `Container.start`.
            recipe: The recipe of a container that is not the server; None means the backend's.

        Returns:
            The container; its server may not be ready yet.

        Raises:
            ServerError: The image cannot be built, or the container does not start.
        """
        # Docker's client takes 0.3 s to import, and most runs do not need it.
        from flask_sqlalchemy_testbed.servers import images  # noqa: PLC0415
        from flask_sqlalchemy_testbed.servers.containers import Container  # noqa: PLC0415

        client = images.connect(backend)
        self._backend_in_docker = backend
        self._started_reaper().watch_containers()
        return Container.start(
            client,
            backend,
            run=self.name,
            notify=self._notify,
            flags=flags,
            size=size,
            port=port,
            linger=linger,
            recipe=recipe,
        )

    def put_behind_pooler(
        self, server: NetworkServer, container: Container, *, within: float
    ) -> Container | None:
        """Start the pooler of the run before a server, if its backend has that pooler.

        Args:
            server: The server, which is ready.
            container: The container of the server.
            within: The timeout in seconds.

        Returns:
            The container of the pooler, which the server removes when it is closed; None without one.

        Raises:
            ServerError: The pooler cannot be started, or does not lead to the server.
        """
        backend = server.backend
        if self.pooler not in backend.poolers:
            return None
        pooler = self.start_container(
            backend, recipe=backend.poolers[self.pooler], flags=container.host_and_port
        )
        try:
            wait_until_ready(
                backend,
                pooler.url(),
                where=pooler.source,
                within=within,
                container=pooler,
                cancelled=self._cancelled,
            )
        except BaseException:
            pooler.remove()
            raise
        server.lead_app_through(self.pooler, pooler)
        return pooler

    def start_pair(self, backend: Backend, *, synchronous: bool = True, gate: bool = True) -> Pair:
        """Start a primary and a standby, which the reaper removes if `Pair.close` is not called.

        Args:
            backend: The kind of server.
            synchronous: As for `Pair`.
            gate: As for `Pair`.

        Raises:
            ServerError: An image cannot be built, or a server does not get ready.
        """
        # As in `start_container`.
        from flask_sqlalchemy_testbed.servers import images  # noqa: PLC0415
        from flask_sqlalchemy_testbed.servers.pairs import Pair  # noqa: PLC0415

        client = images.connect(backend)
        self._backend_in_docker = backend
        self._started_reaper().watch_containers()
        return Pair(client, backend, run=self.name, notify=self._notify, synchronous=synchronous, gate=gate)

    def _start_in_background(self, backend: Backend) -> Future[Server]:
        """Start a server in a daemon thread: an executor would wait for a pull after Ctrl-C."""
        future: Future[Server] = Future()

        def start() -> None:
            try:
                future.set_result(self._server(backend))
            except BaseException as error:  # noqa: BLE001 - `result` raises it
                future.set_exception(error)

        threading.Thread(target=start, name=f"start {backend.name}", daemon=True).start()
        return future

    def _server(self, backend: Backend) -> Server:
        """Return the server of this backend, with the run's first database. Runs in a thread."""
        if self._loan_of is not None and (loan := self._loan_of(backend.name)):
            return self._borrowed_server(loan)
        if "container" not in expected_capabilities(backend):
            self._imported.wait()
        if "embedded" in backend.capabilities:
            directory = files.Directory(backend, self.name)
            self._started_reaper().watch_directory(backend.name, directory.path)
            return directory
        if given := given_url(backend):
            if self.pooler in backend.poolers:
                message = (
                    f"{backend.name}: {self.pooler} can be put before a throwaway server alone."
                    f" Unset {given[0]}, or leave out {flag('pooler')}."
                )
                raise ServerError(message)
            within = min(self._within, RUNNING_SERVER_TIMEOUT)
            return given_server(backend, self.name, given, within=within, cancelled=self._cancelled)
        return self._server_in_container(backend)

    def _borrowed_server(self, loan: Loan) -> Server:
        self._imported.wait()
        server = borrow(loan)
        try:
            server.create(self.name)
        except BaseException:
            server.close()
            raise
        return server

    def _server_in_container(self, backend: Backend) -> NetworkServer:
        _ = backend.drivername  # raises before a container is started
        for _attempt in range(ATTEMPTS if self._may_linger(backend) else 0):
            container = self._found.pop(backend.name, None) or self.start_container(
                backend, linger=self._linger
            )
            self._imported.wait()
            # Another run may have started it a moment ago.
            within = min(self._within, max(RUNNING_SERVER_TIMEOUT, self._within - container.age))
            try:
                return server_in(container, backend, self.name, within=within, cancelled=self._cancelled)
            except ServerError as error:
                # Another run may have used a new server, and changed it, before this one joined.
                is_broken = container.is_new and not isinstance(error, ServerChangedError)
                if is_broken or self._cancelled.is_set():
                    raise
                self._notify(f"testbed: replacing a lingering {backend.name} server: {error}")
        container = self.start_container(backend)
        self._imported.wait()
        return self._ready(container, backend, self._within)

    def _may_linger(self, backend: Backend) -> bool:
        """Return whether the server may be shared with other runs: a pooler belongs to one run."""
        return bool(self._linger) and self.pooler not in backend.poolers

    def _finds(self, backend: Backend) -> bool:
        """Return whether a server of this backend lingers, and note its container."""
        if self._may_linger(backend) and (found := find(backend, self._linger)):
            self._found[backend.name] = found
        return backend.name in self._found

    def _ready(self, container: Container, backend: Backend, within: float) -> NetworkServer:
        server = server_in(container, backend, self.name, within=within, cancelled=self._cancelled)
        try:
            self.put_behind_pooler(server, container, within=within)
        except BaseException:
            server.close()
            raise
        # To kill a server and free its memory takes a while: the reaper does it after the run.
        server.is_reaped = self._reaper is not None and self._reaper.is_running()
        return server

    def _import_sqlalchemy(self) -> None:
        """Import slow modules while the Docker engine starts the containers.

        Only in this thread: concurrent first imports may find a half-initialised module.
        """
        # At its end the interpreter looks for garbage among all objects once more, for 0.1 s.
        atexit.register(gc.freeze)
        try:
            with importing():
                import flask_sqlalchemy_testbed.leaks.probe  # noqa: F401, PLC0415
        finally:
            self._imported.set()

    def _start_sweeper(self) -> None:
        """Remove the databases and containers of killed runs, while the tests run."""
        if self._loan_of is not None or self._sweeper is not None:
            return
        self._sweeper = threading.Thread(target=_sweep, args=[self._backend_in_docker], daemon=True)
        self._sweeper.start()

    def _started_reaper(self) -> Reaper:
        with self._lock:
            if self._reaper is None:
                self._reaper = Reaper(self.name)
            return self._reaper


def _sweep(backend_in_docker: Backend | None) -> None:
    # What fails here is left to the next run, and a failure with the files does not spare the containers.
    with contextlib.suppress(Exception):
        files.sweep()
    with contextlib.suppress(Exception):
        if backend_in_docker is not None:
            from flask_sqlalchemy_testbed.servers import containers, images  # noqa: PLC0415

            client = images.connect(backend_in_docker)
            containers.sweep(client)
            images.sweep(client)


def _close(server: Server) -> bool:
    try:
        server.close()
    except Exception:  # noqa: BLE001 - the reaper removes the remains
        return False
    return True
