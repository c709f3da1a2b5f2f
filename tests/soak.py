"""Runs the battery on the right binding again and again, in random order: not one false alarm is allowed.

`python -m tests.soak --runs 20`. The order of a run that failed is told, to be run again with `--seed`.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
AT_MOST_SECONDS = 900


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
    for number, seed in enumerate(seeds, 1):
        began = time.monotonic()
        run = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "testbed/battery", "-q", "-p", "no:cacheprovider"),
                *("-p", "tests.shuffle", "--shuffle", str(seed), "--backend", options.backend),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=AT_MOST_SECONDS,
            check=False,
        )
        if run.returncode:
            print(f"{run.stdout}\nrun {number} failed; again: python -m tests.soak --seed {seed}")
            return 1
        last = run.stdout.strip().splitlines()[-1]
        print(f"[{number}/{len(seeds)}] seed {seed}: {last} ({time.monotonic() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
