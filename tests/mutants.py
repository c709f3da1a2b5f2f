"""Compares the mutants that live with those that tests/mutants.md shows to be equivalent, or out of reach.

`python -m tests.mutants`, after `mutmut run`: 1 where one lives that is not listed, or one is listed that
does not live any more.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_suffix(".md")
# One that hangs is noticed too.
NOTICED = {"killed", "timeout", "caught by type check"}


def listed(text: str) -> set[str]:
    """The mutants in the table's first column."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def tried(results: str) -> dict[str, str]:
    """The mutants of `mutmut results --all true`, each with what came of it."""
    found = re.findall(r"^ +app\.database\.(\S+): (.+)$", results, re.MULTILINE)
    return {name: status.strip() for name, status in found}


def complaints(text: str, results: str) -> list[str]:
    """What differs, a line each."""
    outcomes, known = tried(results), listed(text)
    if not outcomes:
        return ["No mutant was tried. Run them first: mutmut run."]
    alive = {name for name, status in outcomes.items() if status not in NOTICED}
    return [
        *(
            f"{name} lives. Kill it by a test, or show in {LIST.name} why none can."
            for name in sorted(alive - known)
        ),
        *(f"{name} does not live. Take it out of {LIST.name}." for name in sorted(known - alive)),
    ]


def main() -> int:
    """Tell what differs."""
    results = subprocess.run(
        [sys.executable, "-m", "mutmut", "results", "--all", "true"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    told = complaints(LIST.read_text(encoding="utf-8"), results)
    print(
        "\n".join(told) or f"No mutant lives but the {len(listed(LIST.read_text(encoding='utf-8')))} listed."
    )
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
