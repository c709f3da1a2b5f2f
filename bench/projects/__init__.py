"""Time whole runs of small projects with tests."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# Seconds; ten times what any of them needs.
WITHIN = 300
LAST_PHASE = "end of the interpreter"


@dataclass(frozen=True)
class Timing:
    """The times of a run, in seconds."""

    whole: float
    """With the start and end of the interpreter."""
    ready: float
    """From `pytest_configure` until the last server was ready."""
    tests: float
    """All tests together, with their set-up and teardown."""
    phases: Mapping[str, float]
    """The phases of the whole, one after the other."""


def run(project: str, *options: str, **environment: str) -> Timing:
    """Run the tests of a project in a process of its own.

    Raises:
        RuntimeError: The tests failed; the message is their output.
    """
    folder = HERE / project
    with tempfile.TemporaryDirectory() as scratch:
        clock = Path(scratch, "clock.json")
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(folder / "pytest.ini"), str(folder)]
        began = time.monotonic()
        ended = subprocess.run(
            [*command, "-p", "bench.clock", "-p", "no:cacheprovider", *options],
            cwd=HERE.parent.parent,
            # Only the plugins that the command names.
            env={
                **os.environ,
                **environment,
                "BENCH_BEGAN": str(began),
                "BENCH_CLOCK": str(clock),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        whole = time.monotonic() - began
        if ended.returncode:
            message = f"The tests of {folder} failed:\n{ended.stdout}"
            raise RuntimeError(message)
        measured = json.loads(clock.read_text(encoding="utf-8"))
        measured["phases"][LAST_PHASE] = whole - sum(measured["phases"].values())
        return Timing(whole=whole, **measured)
