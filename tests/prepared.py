"""Run `python -m MODULE` in a process that is forked from a prepared one.

Imports take most of the processor time of a small run of pytest. The prepared process has imported pytest,
our package and the packages that it uses, and has called none of their functions.
"""

import atexit
import contextlib
import gc
import importlib
import inspect
import json
import os
import pkgutil
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, Self

import pytest

PACKAGE = "flask_sqlalchemy_testbed"
OBSERVATIONS = f"{PACKAGE}.battery.observations"
# Packages that a run of the battery imports when it starts.
USED = ("flask.testing", "psycopg2.extras", "pymysql", "sqlalchemy.dialects.sqlite")
# The interpreter, or a package on its import, reads the variables that begin so: a fork would be too late.
READ_AT_START = ("LANG", "LC_", "PYTHON", "TESTCONTAINERS_")
# A test may write a module twice in a second: Python would not notice that a compiled file is out of date.
NO_CACHE = "PYTHONDONTWRITEBYTECODE"
_addresses: list[bytes] = []
_only_one = threading.Lock()


class Process:
    """A process that is forked from the prepared one, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, words: list[str], status: int, outputs: list[int]) -> None:
        self.args = words
        self.returncode: int | None = None
        self._outputs = outputs
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._status.readline())

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; `self.returncode` has it, too.

        Raises:
            subprocess.TimeoutExpired: The process did not end in so many seconds.
        """
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            with self._status:
                self.returncode = int(self._status.readline())
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end of the process and of its outputs, and return the outputs.

        Raises:
            subprocess.TimeoutExpired: It did not end in time, or a child of it holds its output open.
        """
        deadline = time.monotonic() + timeout
        read = dict.fromkeys(self._outputs, b"")
        while self._outputs:
            ready, _, _ = select.select(self._outputs, [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout, b"".join(read.values()))
            for output in ready:
                if chunk := os.read(output, 1 << 16):
                    read[output] += chunk
                else:
                    self._outputs.remove(output)
                    os.close(output)
        self.wait(max(0.0, deadline - time.monotonic()))
        texts = [text.decode() for text in read.values()]
        return texts[0], "".join(texts[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._outputs:
            os.close(self._outputs.pop())
        self.wait()


def start(
    words: list[str], *, cwd: Path, env: Mapping[str, str], merged: bool = False, given: str = ""
) -> Process:
    """Start `python -m` with these words in a process group of its own, as a terminal does.

    Args:
        words: A module, and its arguments.
        cwd: The working directory.
        env: All variables of the environment.
        merged: Whether the output holds the errors too.
        given: The text of its standard input.
    """
    request = json.dumps([words, str(cwd), {**env, NO_CACHE: "1"}]).encode()
    pipes = [os.pipe() for _ in range(2 if merged else 3)]
    with tempfile.TemporaryFile() as file:
        file.write(given.encode())
        file.seek(0)
        files = [file.fileno(), *(write for _, write in pipes)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(address())
            socket.send_fds(sender, [request], files)
    for _, write in pipes:
        os.close(write)
    (status, _), *outputs = pipes
    return Process(words, status, [read for read, _ in outputs])


def run(  # noqa: PLR0913 - as subprocess.run
    words: list[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    merged: bool = False,
    given: str = "",
    meanwhile: Callable[[int], object] = lambda _: None,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with these words, as `subprocess.run` would.

    Args:
        words: As for `start`, and so are those that are not described here.
        cwd: The same.
        env: The same.
        timeout: Seconds, after which the process and its children are killed.
        merged: The same.
        given: The same.
        meanwhile: Called with the process id while the process runs; its output waits in a pipe until then.

    Raises:
        subprocess.TimeoutExpired: The process did not end in time, or a child of it holds its output open.
    """
    with start(words, cwd=cwd, env=env, merged=merged, given=given) as process:
        try:
            meanwhile(process.pid)
            stdout, stderr = process.communicate(timeout)
        finally:
            # With its workers, which would keep its output open.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(words, process.wait(), stdout, stderr)


def can_fork(environment: Mapping[str, str]) -> bool:
    """Return whether a process with these variables can be forked from the prepared one."""
    names = {name for name in os.environ.keys() | environment.keys() if name.startswith(READ_AT_START)}
    return all(os.environ.get(name) == environment.get(name) for name in names - {NO_CACHE})


def _offer() -> bytes:
    """Offer a prepared process, which starts at the first request and ends with this process.

    Returns:
        Where its requests go.
    """
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    requests.bind("")  # Linux chooses a name that is not in the file system.
    name: bytes = requests.getsockname()
    lifeline, held = os.pipe()

    def serve() -> None:
        files = [requests.fileno(), lifeline]
        with requests:
            if lifeline in select.select(files, [], [])[0]:
                return
            process = subprocess.Popen(
                [sys.executable, __file__, *map(str, files)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=files,
                start_new_session=True,
            )
        process.wait()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def end() -> None:
        os.close(held)
        thread.join()

    atexit.register(end)
    return name


def send_to(other: bytes) -> None:
    """Send the requests of this process to the prepared process of another one: to its `address()`."""
    _addresses.append(other)


def address() -> bytes:
    """Return where the requests of this process go: to a prepared process of its own, if to no other.

    Other processes may send theirs there, too: one prepared process serves all workers of a parallel run.
    """
    with _only_one:
        if not _addresses:
            send_to(_offer())
    return _addresses[0]


class _Imports:
    """A plugin that imports the package, rewritten as pytest rewrites plugins, in place of running tests."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self) -> int:
        package = importlib.import_module(PACKAGE)
        for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        for name in USED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        return 0


class _Spare:
    """A process that takes the place of one that the run starts.

    It is forked before any code of the app has run.
    """

    def __init__(self, earlier: list[Self]) -> None:
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        self.ends = (ours_in, ours_out)
        self.pid = os.fork()
        if not self.pid:
            os.dup2(theirs_in, 0)
            os.dup2(theirs_out, 1)
            for spare in (*earlier, self):
                for end in spare.ends:
                    os.close(end)
        os.close(theirs_in)
        os.close(theirs_out)
        if not self.pid:
            _take_a_place()

    def start(self, command: list[str], *, text: bool = False) -> Self:
        """Return this process with pipes to it, as `subprocess.Popen` would."""
        mode = "" if text else "b"
        self.stdin: Any = os.fdopen(self.ends[0], f"w{mode}")
        self.stdout: Any = os.fdopen(self.ends[1], f"r{mode}")
        request = json.dumps([dict(os.environ), command[-1]]) + "\n"
        self.stdin.write(request if text else request.encode())
        self.stdin.flush()
        return self

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, _seconds: float | None = None) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _take_a_place() -> NoReturn:
    """Wait for the request of `_Spare.start`, become that process, and end; end at once if there is none."""
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    if not (request := sys.stdin.readline()):
        os._exit(0)
    environment, last_word = json.loads(request)
    os.environ.clear()
    os.environ.update(environment)
    if last_word == OBSERVATIONS:
        importlib.import_module(OBSERVATIONS).main()
    else:
        _offer_spares(1)
        sys.argv = ["-c"]
        exec(last_word, {"__name__": "__main__"})  # noqa: S102 - that of execnet
    _end(0)


def _end(status: int) -> NoReturn:
    """End this process as an interpreter does, except that it frees no objects.

    To free what a fork shares with its parent, the kernel would copy most of it first.
    """
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - as Py_FinalizeEx does
    atexit._run_exitfuncs()  # noqa: SLF001 - the same
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError):  # The program has closed it.
            stream.flush()
    os._exit(status)


def _offer_spares(number: int) -> None:
    """Fork the processes that a run of the battery, or a parallel run, starts first."""
    spares: list[_Spare] = []
    for _ in range(number):
        spares.append(_Spare(spares))

    def start(command: list[str], **options: Any) -> Any:
        if spares:
            return spares.pop().start(command, text=options.get("text", False))
        return subprocess.Popen(command, **options)

    starts = SimpleNamespace(**{**vars(subprocess), "Popen": start})
    vars(importlib.import_module(f"{PACKAGE}.battery.observer"))["subprocess"] = starts
    with contextlib.suppress(ImportError):
        execnet = importlib.import_module("execnet.gateway_base")
        execnet.ThreadExecModel.subprocess = property(lambda _: starts)


def _serve(requests: socket.socket, lifeline: int) -> str:
    """Fork a process for each request, until the lifeline is closed.

    Returns:
        In each forked process, once it is set up: the module that it runs.
    """
    while True:
        if lifeline in select.select([requests.fileno(), lifeline], [], [])[0]:
            raise SystemExit
        request, (stdin, status, *outputs), _, _ = socket.recv_fds(requests, 1 << 20, 4)
        if not os.fork():
            break
        for file in (stdin, status, *outputs):
            os.close(file)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    requests.close()
    os.close(lifeline)
    if pid := os.fork():
        _watch(pid, status, outputs)
    os.close(status)
    os.setsid()
    # A shell starts background processes with SIGINT ignored, and `nohup` its command with SIGHUP: children
    # inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    for number, file in enumerate([stdin, outputs[0], outputs[-1]]):
        os.dup2(file, number)
    for file in (stdin, *outputs):
        os.close(file)
    words, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    tempfile.tempdir = None
    importlib.invalidate_caches()
    sys.path.insert(0, folder)
    sys.argv = list(words)
    parallel = re.search(r" -n ?(\d+)", " ".join(words))
    _offer_spares(any(PACKAGE in word for word in words) + (int(parallel[1]) if parallel else 0))
    return sys.argv[0]


def _watch(pid: int, status: int, outputs: list[int]) -> NoReturn:
    """Send the number of a forked process and, when it has ended, its status, which its parent alone gets."""
    for output in outputs:
        os.close(output)
    os.write(status, b"%d\n" % pid)
    os.write(status, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


if __name__ == "__main__":
    del sys.path[0]  # this folder
    pytest.main(["-c", os.devnull], plugins=[_Imports()])
    sys.dont_write_bytecode = True
    # The first traceback of a process looks up the file of each module; it finds them known.
    inspect.getmodule(_serve.__code__)
    # Otherwise the garbage collector copies most of the memory of each fork.
    gc.collect()
    gc.freeze()
    channel, lifeline = map(int, sys.argv[1:])
    with socket.socket(fileno=channel) as requests:
        module = _serve(requests, lifeline)
    try:
        if (imported := sys.modules.get(module)) is not None and not hasattr(imported, "__path__"):
            imported.main()  # It is rewritten, and runpy cannot run a rewritten module.
        else:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if not isinstance(ended.code, int | None):
            raise
        _end(ended.code or 0)
    _end(0)
