"""Run the battery on the correct binding many times, in random order: no check may fail.

`python -m tests.soak --runs 20` prints the seed of the run that failed; `--seed` repeats its order.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from tests.meeting import ROOT, lean

AT_MOST_SECONDS = 900


def battery(seed: int, backends: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the battery once, on its own servers, in the order of `seed`."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "flask_sqlalchemy_testbed/battery", "-q"),
            *("-p", "no:cacheprovider", "-p", "tests.shuffle", "--shuffle", str(seed)),
            *("--testbed-backend", backends),
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
    """Run the command and return its exit status: 1 after the first run that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, help="run only this order")
    parser.add_argument("--backend", default="sqlite,postgresql,mysql")
    options = parser.parse_args()
    seeds = [options.seed] if options.seed is not None else random.sample(range(10**6), options.runs)
    # A clean-up process outlives its run for a moment and writes bytecode into the directory.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        environment = lean(os.environ, directory)
        for number, seed in enumerate(seeds, 1):
            began = time.monotonic()
            run = battery(seed, options.backend, environment)
            if run.returncode:
                print(
                    f"{run.stdout}\nRun {number} failed. Repeat it with: python -m tests.soak --seed {seed}"
                )
                return 1
            last = run.stdout.strip().splitlines()[-1]
            took = time.monotonic() - began
            print(f"[{number}/{len(seeds)}] seed {seed}: {last} ({took:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
