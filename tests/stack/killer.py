"""Send SIGKILL to processes in containers, from outside."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from tests.stack.stack import Stack

# A main process ignores SIGKILL from its own container; after `docker kill` the engine does not restart it.
OUTSIDE = ["--pid", "host", "--user", "0", "--cap-drop", "ALL", "--cap-add", "KILL", "--network", "none"]
PROGRAM = """
import os, sys
print("ready", flush=True)
for line in sys.stdin:
    os.kill(int(line), 9)
    print("killed", flush=True)
"""


@contextmanager
def start_killer(stack: Stack) -> Iterator[Callable[[int], None]]:
    """Start a container that kills processes by their numbers on the host, without delay."""
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
        assert answer == "killed\n", f"There is no process {pid}."

    try:
        yield kill
    finally:
        orders.close()  # The program ends at the end of its input.
        process.wait(60)
        answers.close()
