"""Run the benchmark and compare the figures with the goals: `python -m bench`.

The exit status is 1 if a goal was missed.
"""

import argparse
import json
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.bench import ROOT, Bench
from bench.charts import draw
from bench.measurements import Row
from bench.rows import ROWS
from bench.table import table

FIGURES = ROOT / "build" / "bench.json"
CHARTS = ROOT / "docs" / "bench"
# Not committed: a quick run gives rough figures.
QUICK_CHARTS = ROOT / "build" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, and return the exit status."""
    options = _options(arguments)
    rows, failed = [], []
    with Bench(quick=options.quick) as bench:
        for name in options.rows or ROWS:
            try:
                rows.append(_measure(bench, name))
            except Exception:  # noqa: BLE001 - one row must not stop the others
                failed.append(name)
                traceback.print_exc()
    status = report(rows, FIGURES, QUICK_CHARTS if options.quick else CHARTS)
    if failed:
        print(f"Not measured: {', '.join(failed)}. The errors are above.", file=sys.stderr)
    return 1 if failed else status


def report(rows: Sequence[Row], figures: Path, charts: Path) -> int:
    """Print the table, write the figures and charts, and return 1 if a goal was missed, else 0.

    Beside the chart of each row is its part of the table, with its date: a run may measure some rows only.
    """
    machine = {
        "date": datetime.now(UTC).date().isoformat(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    figures.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "rows": [row.as_json() for row in rows]}
    figures.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    measured = "Measured on {date}, {processors} processors, Python {python}, {system}.".format(**machine)
    for row in rows:
        draw(row, charts / f"{row.name}.svg")
        (charts / f"{row.name}.txt").write_text(f"{measured}\n\n{table([row])}\n", encoding="utf-8")
    print(table(rows))
    missed = [(row, goal) for row in rows for goal in row.goals if not goal.reached]
    for row, goal in missed:
        print(f"Missed: {row.name}: {goal.claim} {goal.bound}, by {goal.missed_by}", file=sys.stderr)
    return 1 if missed else 0


def _measure(bench: Bench, name: str) -> Row:
    bench.row = name
    bench.progress("started")
    return ROWS[name](bench)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench", description="Measure speed, and compare it with the goals."
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"the rows to measure (default: all): {', '.join(ROWS)}"
    )
    parser.add_argument("--quick", action="store_true", help="take few samples of each: rough figures")
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"Unknown row {', '.join(sorted(unknown))}. Choose from: {', '.join(ROWS)}.")
    return options


if __name__ == "__main__":
    sys.exit(main())
