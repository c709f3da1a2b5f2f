"""Run pytest in a process of its own, on a project that a test has written."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
# Seconds, far more than any of these runs needs.
WITHIN = 60.0
# Plugins that may be installed: they take longer to start than most of these runs, which do not use them.
SLOW_TO_START = ("schemathesis", "hypothesispytest", "anyio", "benchmark")


def hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass
class Outcome:
    code: int
    text: str

    def lines(self, beginning: str) -> list[str]:
        return [line for line in self.text.splitlines() if line.startswith(beginning)]


@dataclass
class Project:
    """A directory with tests, the environment variables of its runs, and the backends to run on."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)
    backends: list[str] = field(default_factory=list)
    within: float = WITHIN

    def write(self, source: str, name: str = "test_inner.py") -> None:
        (self.path / name).write_text(textwrap.dedent(source))

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        """Start the tests in a process group of their own, as a terminal starts a command."""
        ours = ("PYTEST_", "TESTBED_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        without = [word for plugin in SLOW_TO_START for word in ("-p", f"no:{plugin}")]
        chosen = ["--testbed-backend", ",".join(self.backends)] if self.backends else []
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *without, *chosen, *options],
            cwd=self.path,
            env={**inherited, **self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell starts background processes with SIGINT ignored, and their children inherit that.
            preexec_fn=hear_interrupts,  # noqa: PLW1509 - it takes no lock
        )

    def run(self, *options: str, **environment: str) -> Outcome:
        with self.start(*options, **environment) as process:
            try:
                text, _ = process.communicate(timeout=self.within)
            finally:
                # With its workers, which would keep its output open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return Outcome(process.returncode, text)


def remove_kept(text: str) -> None:
    """Execute the commands that a run has printed for the removal of what it kept."""
    for line in text.splitlines():
        if line.startswith("remove: "):
            subprocess.run(
                shlex.split(line.removeprefix("remove: ")), check=True, capture_output=True, timeout=WITHIN
            )


def eventually(condition: Callable[[], T]) -> T:
    """Return the first true value of the condition."""
    deadline = time.monotonic() + WITHIN
    while not (answer := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)
    return answer
