"""Sum up the rounds of a test, and write the figures of all tests into a page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

BEGIN, END = "<!-- figures of make test-failover -->\n", "<!-- end of the figures -->\n"


@dataclass(frozen=True)
class Round:
    """One failure: times in seconds, and numbers of transfers."""

    up: float
    """From the start of the pair to the last of its three containers being ready."""
    again: float
    """From the first direct write on the new primary to the first transfer that the app acknowledges."""
    failed: int
    """Requests that were answered with 503, or not at all."""
    acknowledged: int
    lost: int


@dataclass
class Figures:
    """The rounds of one test."""

    database: str
    replication: str
    failure: str
    route: str
    rounds: list[Round] = field(default_factory=list)

    @property
    def row(self) -> tuple[str, ...]:
        """Return the cells of this test's row."""
        again = [each.again for each in self.rounds]
        lost = [each.lost for each in self.rounds]
        ups = [each.up for each in self.rounds]
        failed = [each.failed for each in self.rounds]
        return (
            self.database,
            self.replication,
            self.failure,
            self.route,
            str(len(self.rounds)),
            f"{median(again):.2f} s, at most {max(again):.2f} s",
            f"{median(failed):.0f}, at most {max(failed)}",
            f"{sum(each.acknowledged for each in self.rounds)}",
            f"{sum(lost)}" + (f" ({min(lost)} to {max(lost)} a round)" if any(lost) else ""),
            f"{median(ups):.1f} s, at most {max(ups):.1f} s",
        )


HEADINGS = (
    "database",
    "replication",
    "failure",
    "the app connects to",
    "rounds",
    "writes again after",
    "failed requests a round",
    "acknowledged",
    "lost",
    "start of a pair",
)
DATABASES = ("PostgreSQL", "MySQL", "MariaDB")
# The cells that name a test.
NAMES = 4


def write(page: Path, found: Sequence[Figures]) -> None:
    """Replace the rows of these tests in the table of the page, and keep the others."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    assert end, f"{page} has no place for the figures."
    written = [tuple(line.strip("| ").split(" | ")) for line in table.splitlines() if line.startswith("| ")]
    rows = {row[:NAMES]: row for row in [*written[2:], *(figures.row for figures in found)]}
    lines = [HEADINGS, ("---",) * len(HEADINGS), *sorted(rows.values(), key=_order)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in lines)
    page.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


def _order(row: tuple[str, ...]) -> tuple[int, bool]:
    return DATABASES.index(row[0]), row[1] != "synchronous"
