"""Outlives the run: when its process ends in whatever way, removes what it could not remove itself.

testcontainers' own reaper is an image, which a machine without a registry lacks; this one is a process. It
runs as a script, apart from the package: it needs nothing but this file and, in the end, Docker's client.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A container that was being made while the run was killed appears a little later.
STRAGGLERS = 1.5
RUN_LABEL = "testbed.run"
BACKEND_LABEL = "testbed.backend"


class Reaper:
    """The run's end of it: tells it what there is, over a pipe whose end of file is the signal."""

    def __init__(self, run: str) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__, run, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C is for the run; and nobody's working directory is held.
            start_new_session=True,
            cwd="/",
        )
        self._pipe = cast("IO[bytes]", self._process.stdin)

    def watch_directory(self, backend: str, path: Path) -> None:
        """Has the directory removed when the run has ended."""
        self._say(f"directory {backend} {path}")

    def watch_containers(self) -> None:
        """Has the containers with this run's label removed when the run has ended."""
        self._say(f"containers {os.environ.get('DOCKER_HOST', '')}")

    def keep(self, backend: str) -> None:
        """What there is of this backend stays."""
        self._say(f"keep {backend}")

    def is_there(self) -> bool:
        """Whether it can be relied upon."""
        return self._process.poll() is None

    def finish(self) -> None:
        """What there is now is to be removed, and nothing else will come."""
        self._say("finish")

    def dismiss(self, *, all_gone: bool) -> None:
        """The run is over. Should not all be gone, the reaper sees to it, and nobody waits for that."""
        if all_gone:
            self._say("done")
        with contextlib.suppress(OSError):
            self._pipe.close()
        if all_gone:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=5)
        else:
            # It goes on without its parent, and is no concern of its parent's any more.
            self._process.returncode = 0

    def _say(self, line: str) -> None:
        # It may have been killed; the next run cleans up then.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._pipe.write(f"{line}\n".encode())
            self._pipe.flush()


@dataclass
class _Told:
    """What the run has said that there is."""

    directories: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    containers: bool = False
    done: bool = False
    finished: bool = False

    def hear(self, line: str) -> None:
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


def main(run: str, owner: int) -> None:
    """Waits for the run's end, then removes what it has not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = _Told()
    for line in _lines(owner):
        told.hear(line)
        if told.done:
            return
    for backend, path in told.directories.items():
        if backend not in told.kept:
            shutil.rmtree(path, ignore_errors=True)
    if told.containers:
        _remove_containers(run, told.kept, 0.0 if told.finished else STRAGGLERS)


def _lines(owner: int) -> Iterator[str]:
    """What the run says until it ends.

    End of file is not the only end: a process that the run has forked may live on and hold the pipe open.
    """
    waiting = select.poll()
    waiting.register(0, select.POLLIN)
    process = -1
    with contextlib.suppress(OSError, AttributeError):  # Linux has it, since 5.3
        process = os.pidfd_open(owner)
        waiting.register(process, select.POLLIN)
    text = b""
    over = False
    while not over:
        ready = {number for number, _ in waiting.poll(None if process >= 0 else 500)}
        data = os.read(0, 65536) if 0 in ready else b""
        *lines, text = (text + data).split(b"\n")
        yield from (line.decode() for line in lines)
        # Only when the pipe is empty is there nothing more to hear.
        over = not data and (0 in ready or process in ready or not _runs(owner))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_containers(run: str, kept: set[str], within: float) -> None:
    import docker  # noqa: PLC0415  (0.3 s that only a run that was killed has to pay)

    client = docker.from_env()
    deadline = time.monotonic() + within
    while True:
        labelled: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run}"}
        for container in client.containers.list(all=True, filters=labelled, ignore_removed=True):
            if container.labels.get(BACKEND_LABEL) not in kept:
                with contextlib.suppress(docker.errors.APIError):
                    container.remove(force=True, v=True)
        for network in client.networks.list(filters=labelled):
            with contextlib.suppress(docker.errors.APIError):
                network.remove()
        if time.monotonic() >= deadline:
            return
        time.sleep(0.2)


if __name__ == "__main__":
    # A script's folder comes first on the path, and this one's files would hide others of their names.
    sys.path.pop(0)
    main(sys.argv[1], int(sys.argv[2]))
