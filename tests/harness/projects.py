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

from tests import prepared

T = TypeVar("T")
# Seconds, far more than any of these runs needs.
WITHIN = 60.0
# Plugins that may be installed: they take longer to start than most of these runs, which do not use them.
SLOW_TO_START = ("schemathesis", "hypothesispytest", "anyio", "benchmark")


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

    def start(self, *options: str, **environment: str) -> prepared.Process:
        """Start the tests in a process group of their own, as a terminal starts a command."""
        variables = self._variables(environment)
        return prepared.start(self._words(options), cwd=self.path, env=variables, merged=True)

    def run(self, *options: str, **environment: str) -> Outcome:
        """Run the tests, in a process that has imported pytest before if the variables allow that."""
        variables = self._variables(environment)
        if not prepared.can_fork(variables):
            return self.run_anew(*options, **environment)
        ran = prepared.run(
            self._words(options), cwd=self.path, env=variables, timeout=self.within, merged=True
        )
        return Outcome(ran.returncode, ran.stdout)

    def run_anew(self, *options: str, **environment: str) -> Outcome:
        """Run the tests in a process of a new interpreter, which has imported nothing."""
        with subprocess.Popen(
            [sys.executable, "-m", *self._words(options)],
            cwd=self.path,
            env=self._variables(environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                text, _ = process.communicate(timeout=self.within)
            finally:
                # With its workers, which would keep its output open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return Outcome(process.returncode, text)

    def _words(self, options: tuple[str, ...]) -> list[str]:
        without = [word for plugin in SLOW_TO_START for word in ("-p", f"no:{plugin}")]
        chosen = ["--testbed-backend", ",".join(self.backends)] if self.backends else []
        return ["pytest", "-p", "no:cacheprovider", *without, *chosen, *options]

    def _variables(self, environment: dict[str, str]) -> dict[str, str]:
        ours = ("PYTEST_", "TESTBED_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**inherited, **self.environment, **environment}


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
