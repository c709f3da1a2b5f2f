"""Small projects with tests, whose runs are timed whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# None of them takes a tenth of this.
WITHIN = 300


@dataclass(frozen=True)
class Timing:
    """What a run took, in seconds."""

    whole: float
    """The interpreter's start and end included."""
    ready: float
    """From pytest's configure until the last server could be used."""
    tests: float
    """All tests together, set-up and end included."""


def run(project: str, *options: str, **environment: str) -> Timing:
    """Runs that project's tests in a process of its own; `RuntimeError` holds what it said if they fail."""
    folder = HERE / project
    with tempfile.TemporaryDirectory() as scratch:
        clock = Path(scratch, "clock.json")
        command = [sys.executable, "-m", "pytest", "-q", "-c", str(folder / "pytest.ini"), str(folder)]
        began = time.perf_counter()
        ended = subprocess.run(
            [*command, "-p", "bench.clock", "-p", "no:cacheprovider", *options],
            cwd=HERE.parent.parent,
            # Of the plugins that happen to be installed, none but those that are named.
            env={
                **os.environ,
                **environment,
                "BENCH_CLOCK": str(clock),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WITHIN,
            check=False,
        )
        whole = time.perf_counter() - began
        if ended.returncode:
            message = f"The tests of {folder} failed:\n{ended.stdout}"
            raise RuntimeError(message)
        return Timing(whole=whole, **json.loads(clock.read_text(encoding="utf-8")))
