"""SIGKILL for processes in containers, from outside of them."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stack.stack import Stack

# Inside its container a main process is immune to SIGKILL, and the engine's own `kill` is a wish to stop.
OUTSIDE = ["--pid", "host", "--user", "0", "--cap-drop", "ALL", "--cap-add", "KILL", "--network", "none"]
PROGRAM = """
import os, sys
print("ready", flush=True)
for line in sys.stdin:
    os.kill(int(line), 9)
    print("killed", flush=True)
"""


@contextmanager
def killer(stack: Stack) -> Iterator[Callable[[int], None]]:
    """A way to kill a process by its number outside, at once: the container that does it is there already."""
    program = ["python", "-u", "-c", PROGRAM]
    process = subprocess.Popen(
        ["docker", "run", "--rm", "--interactive", *OUTSIDE, f"{stack.project}-app", *program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    orders, answers = process.stdin, process.stdout
    assert orders is not None
    assert answers is not None
    assert answers.readline() == "ready\n"

    one_at_a_time = Lock()

    def kill(pid: int) -> None:
        with one_at_a_time:
            orders.write(f"{pid}\n")
            orders.flush()
            answer = answers.readline()
        assert answer == "killed\n", f"Process {pid} was not there to be killed."

    try:
        yield kill
    finally:
        orders.close()  # it ends by itself then
        process.wait(60)
        answers.close()
