"""Compare the surviving mutants with those that tests/mutants.md explains.

`python -m tests.mutants`, after `mutmut run`, exits with 1 if another mutant survived, or if a
listed mutant did not.
"""

import re
import subprocess
import sys
from pathlib import Path

LIST = Path(__file__).with_suffix(".md")
# A mutant that makes the tests hang is noticed too.
NOTICED = {"killed", "timeout", "caught by type check"}


def listed(text: str) -> set[str]:
    """Return the names of mutants in the first column of the table."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def outcomes(results: str) -> dict[str, str]:
    """Return the outcome of each mutant, from `mutmut results --all true`."""
    found = re.findall(r"^ +app\.database\.(\S+): (.+)$", results, re.MULTILINE)
    return {name: status.strip() for name, status in found}


def differences(text: str, results: str) -> list[str]:
    """Return the differences between the list and the results, one line each."""
    statuses, known = outcomes(results), listed(text)
    if not statuses:
        return ["No mutant was tried. Run them first: mutmut run."]
    survivors = {name for name, status in statuses.items() if status not in NOTICED}
    return [
        *(
            f"{name} survived. Kill it by a test, or explain in {LIST.name} why no test can."
            for name in sorted(survivors - known)
        ),
        *(f"{name} did not survive. Remove it from {LIST.name}." for name in sorted(known - survivors)),
    ]


def main() -> int:
    """Print the differences, or how many mutants were tried, killed and listed."""
    results = subprocess.run(
        [sys.executable, "-m", "mutmut", "results", "--all", "true"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    text = LIST.read_text(encoding="utf-8")
    found = differences(text, results)
    tried, equivalent = len(outcomes(results)), len(listed(text))
    print(
        "\n".join(found) or f"{tried - equivalent} of {tried} mutants were killed, {equivalent} are listed."
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
