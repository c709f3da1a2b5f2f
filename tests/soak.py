"""Runs the battery on the right binding again and again, in random order: not one false alarm is allowed.

`python -m tests.soak --runs 20`. The order of a run that failed is told, to be run again with `--seed`.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from tests.meeting import ROOT, lean

if TYPE_CHECKING:
    from collections.abc import Mapping

AT_MOST_SECONDS = 900


def battery(seed: int, backends: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """One run, on servers of its own, in the order of that seed."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "flask_sqlalchemy_testbed/battery", "-q"),
            *("-p", "no:cacheprovider", "-p", "tests.shuffle", "--shuffle", str(seed)),
            *("--backend", backends),
        ],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=AT_MOST_SECONDS,
        check=False,
    )


def main() -> int:
    """1 at the first run that fails, with what it said."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, help="only this order")
    parser.add_argument("--backend", default="sqlite,postgresql,mysql")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else random.sample(range(10**6), options.runs)
    # What cleans up after a run outlives it for a moment, and compiles in here what it imports.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        environment = lean(os.environ, directory)
        for number, seed in enumerate(seeds, 1):
            began = time.monotonic()
            run = battery(seed, options.backend, environment)
            if run.returncode:
                print(f"{run.stdout}\nrun {number} failed; again: python -m tests.soak --seed {seed}")
                return 1
            last = run.stdout.strip().splitlines()[-1]
            took = time.monotonic() - began
            print(f"[{number}/{len(seeds)}] seed {seed}: {last} ({took:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
