"""Remove the containers, files and unfinished images of a run from a process that outlives the run.

testcontainers has a reaper in a container, but its image cannot be pulled everywhere. This file runs as a
script and does not import the package: the run may have had another import path. Its process starts with each
run, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    import docker
    from docker.models.containers import Container as DockerModel

# A container that Docker was creating when the run was killed appears a little later.
LATE_CONTAINER_SECONDS = 1.5
# The engine needs a moment to end a build whose client is gone; until then it uses the last layer.
END_OF_BUILD_SECONDS = 30.0
RUN_LABEL = "testbed.run"
BACKEND_LABEL = "testbed.backend"
# The process after whose end every run removes the container.
PROCESS_LABEL = "testbed.process"
# Of a container whose server ends by itself: the seconds for which it lingers.
LINGER_LABEL = "testbed.linger"
# Of such a container: the process that has created it, and that may end before it starts the container.
STARTER_LABEL = "testbed.starter"
# Of images: the run that built them. The layers of a build that was cut short have no name.
BUILD_LABEL = "testbed.build"


class Reaper:
    """The run's handle of the process: it reports the run's containers and files over a pipe.

    The reaper begins when the pipe or the run's process ends.
    """

    def __init__(self, run: str) -> None:
        import subprocess  # noqa: PLC0415 - the process itself does not need it

        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, run, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is meant for the run, and no working directory stays in use.
            start_new_session=True,
            cwd="/",
        )
        self._pipe: IO[bytes] = self._process.stdin  # type: ignore[assignment] # it is a pipe

    def watch_directory(self, backend: str, path: Path) -> None:
        """Remove the directory after the run, unless the backend is kept.

        Args:
            backend: The name of the backend.
            path: The directory.
        """
        self._send(f"directory {backend} {path}")

    def watch_containers(self) -> None:
        """Remove the containers with the run's label after the run, except for kept backends."""
        self._send(f"containers {os.environ.get('DOCKER_HOST', '')}")

    def keep(self, backend: str) -> None:
        """Leave the directory and the containers of this backend.

        Args:
            backend: The name of the backend.
        """
        self._send(f"keep {backend}")

    def is_running(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    def finish(self) -> None:
        """Report that the run creates no more containers.

        The reaper then does not wait for late ones.
        """
        self._send("finish")

    def dismiss(self, *, all_gone: bool) -> None:
        """End the process, or let it remove the remains of the run on its own.

        Args:
            all_gone: Whether the run has removed everything.
        """
        if all_gone:
            self._send("done")
        with contextlib.suppress(OSError):
            self._pipe.close()
        if all_gone:
            from subprocess import TimeoutExpired  # noqa: PLC0415 - as above

            with contextlib.suppress(TimeoutExpired):
                self._process.wait(timeout=5)
        else:
            # Popen warns about a child that still runs, unless it has a return code.
            self._process.returncode = 0

    def _send(self, line: str) -> None:
        # If the reaper was killed, the next run cleans up.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._pipe.write(f"{line}\n".encode())
            self._pipe.flush()


class _Inventory:
    """The containers and files that the run has reported."""

    def __init__(self) -> None:
        self.directories: dict[str, str] = {}
        self.kept: set[str] = set()
        self.containers = False
        self.done = False
        self.finished = False

    def add(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "directory":
            backend, _, path = rest.partition(" ")
            self.directories[backend] = path
        elif word == "keep":
            self.kept.add(rest)
        elif word == "containers":
            self.containers = True
            if rest:
                os.environ["DOCKER_HOST"] = rest
        elif word == "finish":
            self.finished = True
        self.done = word == "done"


def main(run: str, pid: int) -> None:
    """Wait until the run ends, then remove the rest of its containers and files.

    Args:
        run: The name of the run, which is the label of its containers.
        pid: The process of the run.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    inventory = _Inventory()
    for line in _lines(pid):
        inventory.add(line)
        if inventory.done:
            os._exit(0)  # The run waits for its end.
    import shutil  # noqa: PLC0415 - most reapers do not need it

    for backend, path in inventory.directories.items():
        if backend not in inventory.kept:
            shutil.rmtree(path, ignore_errors=True)
    if inventory.containers:
        _remove(run, inventory.kept, 0.0 if inventory.finished else LATE_CONTAINER_SECONDS)


def _lines(pid: int) -> Iterator[str]:
    """Yield the lines that the run sends until it ends.

    A process that the run has forked may hold the pipe open, so the run's process is watched too.
    """
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    process = -1
    with contextlib.suppress(OSError, AttributeError):  # Linux has it since 5.3
        process = os.pidfd_open(pid)
        waiting.register(process, select.POLLIN)
    text = b""
    over = False
    while not over:
        ready = {number for number, _ in waiting.poll(None if process >= 0 else 500)}
        data = os.read(0, 65536) if 0 in ready else b""
        *lines, text = (text + data).split(b"\n")
        yield from (line.decode() for line in lines)
        # The pipe may still hold lines when the process has ended.
        over = not data and (0 in ready or process in ready or not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(run: str, kept: set[str], within: float) -> None:
    """Remove containers, networks and layers of the run, also those that appear within some seconds."""
    import docker  # noqa: PLC0415 - takes 0.3 s, which most reapers need not spend

    client = docker.from_env()
    began = time.monotonic()
    while True:
        labelled: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run}"}
        for container in client.containers.list(all=True, filters=labelled, ignore_removed=True):
            if container.labels.get(BACKEND_LABEL) not in kept and not lingers(container):
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
        for network in client.networks.list(filters=labelled):
            with contextlib.suppress(docker.errors.APIError):
                network.remove()
        for layer in (layers := layers_of(client, run)):
            with contextlib.suppress(docker.errors.APIError):
                client.images.remove(layer)
        if time.monotonic() - began >= (END_OF_BUILD_SECONDS if layers else within):
            return
        time.sleep(0.2)


def lingers(container: DockerModel) -> bool:
    """Return whether a container ends by itself: it was started to linger.

    Args:
        container: The container; one that was created and not started never ends.
    """
    return LINGER_LABEL in container.labels and container.status != "created"


def layers_of(client: docker.DockerClient, run: str) -> list[str]:
    """Return the ids of the layers that a run has built and not made an image of.

    Args:
        client: A client of the engine.
        run: The name of the run.
    """
    # `client.images.list` inspects each image, and fails if another process has removed it.
    filters: dict[str, str | list[str] | bool] = {"label": f"{BUILD_LABEL}={run}", "dangling": True}
    return [str(layer) for layer in client.api.images(quiet=True, filters=filters)]


if __name__ == "__main__":
    # The script's folder comes first on the path, and its modules would hide others with the same name.
    sys.path.pop(0)
    main(sys.argv[1], int(sys.argv[2]))
