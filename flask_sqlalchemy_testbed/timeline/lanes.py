"""Lay out a timeline: its bars, the row of each bar, and the scale of the time axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from math import inf, log2
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.timeline.events import EventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_sqlalchemy_testbed.timeline.events import JsonEvent

    Scale = Callable[[float], float]


class Lane(StrEnum):
    """The objects that have bars.

    The values are keys of an event, except the last, and CSS classes.
    """

    CONTEXT = "context"
    SESSION = "session"
    CONNECTION = "connection"
    CHECK_CONNECTION = "check-connection"


BEGINS: dict[str, Lane] = {
    EventKind.CONTEXT_PUSHED: Lane.CONTEXT,
    EventKind.SESSION_BEGUN: Lane.SESSION,
    EventKind.CONNECTION_CHECKED_OUT: Lane.CONNECTION,
}
ENDS: dict[str, Lane] = {
    EventKind.CONTEXT_POPPED: Lane.CONTEXT,
    EventKind.SESSION_CLOSED: Lane.SESSION,
    EventKind.CONNECTION_RETURNED: Lane.CONNECTION,
    EventKind.CONNECTION_CLOSED: Lane.CONNECTION,
    EventKind.CONNECTION_INVALIDATED: Lane.CONNECTION,
}
ROW_NAMES = {
    Lane.CONTEXT: "contexts",
    Lane.SESSION: "sessions",
    Lane.CONNECTION: "connection {}",
    Lane.CHECK_CONNECTION: "check's own {}",
}
MAX_STRETCH = 2.5


@dataclass
class Bar:
    """The time in which an object was in use; `end` is None if no end was seen."""

    lane: Lane
    number: int
    start: float
    label: str
    thread: str
    end: float | None = None
    row: int = 0
    statements: list[JsonEvent] = field(default_factory=list)


def bars_of(events: list[JsonEvent]) -> list[Bar]:
    """Return a bar for each use of a context, session or connection, in order of start."""
    bars: list[Bar] = []
    in_use: dict[tuple[str, int], Bar] = {}

    def begin(lane: Lane, number: int, event: JsonEvent, label: str = "") -> Bar:
        bar = Bar(lane, number, event["at"], label or f"{lane} {number}", event["thread"])
        in_use[lane, number] = bar
        bars.append(bar)
        return bar

    for event in events:
        kind = event["kind"]
        lane = BEGINS.get(kind) or ENDS.get(kind) or Lane.CONTEXT
        key = lane, event.get(lane, 0)
        if kind in BEGINS and key not in in_use:
            begin(*key, event)
        elif kind in ENDS and key in in_use:
            in_use.pop(key).end = event["at"]
        elif kind == EventKind.REQUEST_STARTED and key in in_use:
            in_use[key].label = event["text"]
        elif kind == EventKind.CHECK_STATEMENT:
            own = in_use.get((Lane.CHECK_CONNECTION, event["connection"]))
            own = own or begin(
                Lane.CHECK_CONNECTION, event["connection"], event, "the check's own connection"
            )
            own.statements.append(event)
            own.end = end_of(event)
        elif kind == EventKind.STATEMENT and (
            bar := in_use.get((Lane.CONNECTION, event.get("connection", 0)))
        ):
            bar.statements.append(event)
    return bars


def assign_rows(bars: list[Bar], x: Scale) -> list[str]:
    """Set the row of each bar, and return the names of the rows.

    Contexts share rows if they do not overlap, and so do sessions. Each connection has its own row.
    """
    names: list[str] = []
    for lane, name in ROW_NAMES.items():
        rows: dict[object, float] = {}
        first = len(names)
        for bar in (bar for bar in bars if bar.lane is lane):
            if lane in {Lane.CONNECTION, Lane.CHECK_CONNECTION}:
                row: object = bar.number
            else:
                free = (row for row, until in rows.items() if until <= x(bar.start))
                row = next(free, len(rows))
            rows[row] = x(bar.end) if bar.end is not None else inf
            bar.row = first + list(rows).index(row)
        names += [name.format(row) for row in rows]
    return names


def crop(bars: list[Bar], names: list[str], most: int) -> list[str]:
    """Keep the first rows of each lane; bars in other rows get the row `most`.

    That row is not drawn.
    """
    lanes = [name.partition(" ")[0] for name in names]
    share = most // len(set(lanes))
    kept = [row for row, lane in enumerate(lanes) if lanes[:row].count(lane) < share]
    for bar in bars:
        bar.row = kept.index(bar.row) if bar.row in kept else most
    return [*(names[row] for row in kept), f"and {len(names) - len(kept)} more"]


def scale(events: list[JsonEvent], left: float, width: float, min_stretch: float = 1.0) -> Scale:
    """Return a function from a moment to its x coordinate.

    Distances grow with the logarithm of a pause: in proportion, statements would be too thin to see beside
    one wait for a lock. The picture is stretched or compressed to `width`, but not below `min_stretch`.
    """
    moments = sorted(moments_of(events))
    places = {moments[0]: left}
    for before, moment in pairwise(moments):
        places[moment] = places[before] + 8 + 5 * log2(1 + (moment - before) * 1e4)
    natural = max(places[moments[-1]] - left, 1)
    stretch = min(max(min_stretch, (width - left) / natural), MAX_STRETCH)
    return lambda moment: left + (places[moment] - left) * stretch


def moments_of(events: list[JsonEvent]) -> set[float]:
    """Return the moments at which an event begins or ends."""
    return {float(event["at"]) for event in events} | {end_of(event) for event in events}


def end_of(event: JsonEvent) -> float:
    """Return the moment at which the event ended, or began if its end was not seen."""
    return float(round(event["at"] + event.get("seconds", 0.0), 6))
