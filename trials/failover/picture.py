"""Draw the roles of both servers, the lag and the transfers on one time axis, as inline SVG."""

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import pairwise

from .load import Attempt
from .nodes import Lag, Node, Pair

# Seconds.
AXIS, TICK, BUCKET = 60, 10, 0.5
# A shorter time without a transfer is drawn without its length.
NOTABLE = 0.5

# Pixels.
WIDTH, LEFT, RIGHT, TOP = 1180, 96, 26, 30
ROW, BAR, GAP = 34, 24, 14
LAG, TRANSFERS, LABELS = 44, 96, 34
LETTER_WIDTH = 6.4


def draw(pair: Pair, attempts: Sequence[Attempt], changes: Sequence[tuple[float, str]]) -> str:
    """Return the picture of the last `AXIS` seconds.

    Args:
        pair: The servers.
        attempts: The requests for transfers, in the order in which they ended.
        changes: The moments of the changes that visitors made, and their names.

    Returns:
        The SVG. Its classes have their colours in `trial.css`.
    """
    return _Picture(time.monotonic()).draw(pair, attempts, changes)


def pauses(attempts: Sequence[Attempt], now: float) -> list[tuple[float, float]]:
    """Return the beginning and end of each notable time without an acknowledged transfer."""
    ends = [attempt.ended for attempt in attempts if attempt.acknowledged]
    return [each for each in pairwise([*ends, now]) if each[1] - each[0] >= NOTABLE]


class _Picture:
    def __init__(self, now: float) -> None:
        self.now = now
        self.start = now - AXIS
        self.lag = TOP + 2 * ROW + GAP
        self.transfers = self.lag + LAG + GAP
        self.base = self.transfers + TRANSFERS
        self.height = self.base + LABELS

    def x(self, moment: float) -> float:
        return LEFT + (max(moment, self.start) - self.start) / AXIS * (WIDTH - LEFT - RIGHT)

    def draw(self, pair: Pair, attempts: Sequence[Attempt], changes: Sequence[tuple[float, str]]) -> str:
        acknowledged = sum(attempt.acknowledged for attempt in attempts if attempt.ended > self.start)
        roles = ", ".join(f"{name}: {node.now.role}" for name, node in pair.nodes.items())
        summary = f"{roles}; {acknowledged} transfers in the last {AXIS} seconds"
        parts = [
            *self._axis(),
            *self._roles(pair.nodes.values()),
            *self._lags([lag for name in pair.nodes for lag in pair.lag(name)]),
            *self._transfers(attempts),
            *self._changes(changes),
        ]
        return (
            f'<svg class="timeline failover" role="img" aria-label="{escape(summary)}" width="{WIDTH}"'
            f' height="{self.height}" viewBox="0 0 {WIDTH} {self.height}">{"".join(parts)}</svg>'
        )

    def _axis(self) -> Iterator[str]:
        for ago in range(AXIS, -1, -TICK):
            x = self.x(self.now - ago)
            yield f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{self.base}"/>'
            yield f'<text class="time" x="{x:.1f}" y="14">{f"{ago} s ago" if ago else "now"}</text>'

    def _roles(self, nodes: Iterable[Node]) -> Iterator[str]:
        for row, node in enumerate(nodes):
            top = TOP + row * ROW
            yield f'<text class="name" x="0" y="{top + 16}">{node.name}</text>'
            for begun, ended, role in node.roles():
                if ended <= self.start:
                    continue
                x, width = self.x(begun), max(self.x(ended) - self.x(begun), 1.5)
                yield (
                    f'<rect class="role {role.replace(" ", "-")}" x="{x:.1f}" y="{top}" width="{width:.1f}"'
                    f' height="{BAR}" rx="3"><title>{node.name}: {role}</title></rect>'
                )
                if len(role) * LETTER_WIDTH + 12 < width:
                    yield f'<text class="label" x="{x + 7:.1f}" y="{top + 16}">{role}</text>'

    def _lags(self, found: Iterable[Lag]) -> Iterator[str]:
        shown = sorted((lag for lag in found if lag.at > self.start), key=lambda lag: lag.at)
        bottom = self.lag + LAG
        most = max([64 * 1024, *(lag.size for lag in shown)])
        yield f'<text class="name" x="0" y="{self.lag + 10}">lag</text>'
        yield f'<text class="scale" x="{LEFT - 8}" y="{self.lag + 10}">{size(most)}</text>'
        yield f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{bottom}" y2="{bottom}"/>'
        for lag, following in pairwise([*shown, Lag(self.now, 0, 0)]):
            if lag.size:
                x, height = self.x(lag.at), max(2.0, lag.size / most * LAG)
                width = self.x(min(following.at, lag.at + 2 * BUCKET)) - x
                yield (
                    f'<rect class="lag" x="{x:.1f}" y="{bottom - height:.1f}" width="{width:.1f}"'
                    f' height="{height:.1f}"><title>{size(lag.size)}, {lag.seconds:.1f} s</title></rect>'
                )

    def _transfers(self, attempts: Sequence[Attempt]) -> Iterator[str]:
        counts = Counter(
            (math.floor(attempt.ended / BUCKET), attempt.acknowledged)
            for attempt in attempts
            if attempt.ended > self.start
        )
        most = max([8, *(counts[bucket, True] + counts[bucket, False] for bucket, _ in counts)])
        yield f'<text class="name" x="0" y="{self.transfers + 26}">transfers</text>'
        yield f'<text class="scale" x="{LEFT - 8}" y="{self.transfers + 26}">{most / BUCKET:.0f}/s</text>'
        for begun, ended in pauses(attempts, self.now):
            if ended > self.start:
                yield from self._pause(begun, ended)
        for bucket in {bucket for bucket, _ in counts}:
            x, width = self.x(bucket * BUCKET), self.x((bucket + 1) * BUCKET) - self.x(bucket * BUCKET) - 1.5
            y = float(self.base)
            for acknowledged, css in ((True, "acknowledged"), (False, "failed")):
                if count := counts[bucket, acknowledged]:
                    height = count / most * (TRANSFERS - 18)
                    y -= height
                    yield (
                        f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}"'
                        f' height="{height:.1f}"><title>{count} {css} within {BUCKET} s</title></rect>'
                    )
        yield f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.base}" y2="{self.base}"/>'

    def _pause(self, begun: float, ended: float) -> Iterator[str]:
        x, width = self.x(begun), self.x(ended) - self.x(begun)
        text = f"{ended - begun:.1f} s"
        yield (
            f'<rect class="pause" x="{x:.1f}" y="{self.transfers}" width="{width:.1f}" height="{TRANSFERS}">'
            f"<title>{text} without a transfer</title></rect>"
        )
        place = min(max(x + width / 2, LEFT + 14), WIDTH - RIGHT - 10)
        yield f'<text class="length" x="{place:.1f}" y="{self.transfers + 12}">{text}</text>'

    def _changes(self, changes: Iterable[tuple[float, str]]) -> Iterator[str]:
        ends, texts = [0.0, 0.0], []
        for at, name in changes:
            if at > self.start:
                x, width = self.x(at), len(name) * LETTER_WIDTH
                # Texts without room are in the second row. At the right edge they end at the line.
                row = 0 if x - 4 > ends[0] else 1
                css, aside = ("change left", -4) if x + width + 6 > WIDTH else ("change", 4)
                ends[row] = x + (width if aside > 0 else 0)
                y = self.base + 14 + row * 15
                yield f'<line class="change" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{y}"/>'
                texts.append(f'<text class="{css}" x="{x + aside:.1f}" y="{y}">{escape(name)}</text>')
        yield from texts


def size(count: float) -> str:
    """Return a number of bytes as text."""
    units = ("bytes", "kB", "MB", "GB")
    power = 0
    while count >= 1000 and power < len(units) - 1:  # noqa: PLR2004 - a unit of SI
        count, power = count / 1000, power + 1
    return f"{count:.0f} {units[power]}" if power == 0 or count >= 10 else f"{count:.1f} {units[power]}"  # noqa: PLR2004
