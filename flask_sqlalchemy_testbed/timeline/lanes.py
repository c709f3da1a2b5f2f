"""Which bars a timeline is drawn as, where each begins and ends, and in which row it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, log2
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Told = dict[str, Any]
    Scale = Callable[[float], float]

BEGINS = {"context pushed": "context", "session begun": "session", "connection checked out": "connection"}
ENDS = {
    "context popped": "context",
    "session closed": "session",
    "connection returned": "connection",
    "connection closed": "connection",
    "connection invalidated": "connection",
}


MOST_STRETCH = 2.5
NAMES = {
    "context": "contexts",
    "session": "sessions",
    "connection": "connection {}",
    "own": "check's own {}",
}


@dataclass
class Bar:
    """From when to when something was in use; it has no end where none was seen."""

    what: str
    number: int
    start: float
    label: str
    thread: str
    end: float | None = None
    row: int = 0
    inside: list[Told] = field(default_factory=list)


def bars_of(events: list[Told]) -> list[Bar]:
    """A bar for each time that a context, session or connection was in use, the first one first."""
    bars: list[Bar] = []
    in_use: dict[tuple[str, int], Bar] = {}
    for event in events:
        what = BEGINS.get(event["kind"]) or ENDS.get(event["kind"]) or "context"
        key = what, event.get(what, 0)
        if event["kind"] in BEGINS and key not in in_use:
            in_use[key] = Bar(what, key[1], event["at"], f"{what} {key[1]}", event["thread"])
            bars.append(in_use[key])
        elif event["kind"] in ENDS and key in in_use:
            in_use.pop(key).end = event["at"]
        elif event["kind"] == "request begun" and key in in_use:
            in_use[key].label = event["text"]
        if event["kind"] == "question":
            _ask(bars, in_use, event)
        if event["kind"] == "statement" and (bar := in_use.get(("connection", event.get("connection", 0)))):
            bar.inside.append(event)
    return bars


def _ask(bars: list[Bar], in_use: dict[tuple[str, int], Bar], event: Told) -> None:
    key = "own", event["connection"]
    if key not in in_use:
        in_use[key] = Bar(*key, event["at"], "the check's own connection", event["thread"])
        bars.append(in_use[key])
    in_use[key].inside.append(event)
    in_use[key].end = end_of(event)


def place(bars: list[Bar], x: Scale) -> list[str]:
    """Give each bar its row, and answer the rows' names.

    Contexts share rows, and so do sessions, where they do not overlap; each connection has its own.
    """
    names: list[str] = []
    for what, name in NAMES.items():
        rows: dict[object, float] = {}
        first = len(names)
        for bar in (bar for bar in bars if bar.what == what):
            if what in {"connection", "own"}:
                lane: object = bar.number
            else:
                free = (row for row, until in rows.items() if until <= x(bar.start))
                lane = next(free, len(rows))
            rows[lane] = x(bar.end) if bar.end is not None else inf
            bar.row = first + list(rows).index(lane)
        names += [name.format(lane) for lane in rows]
    return names


def crop(bars: list[Bar], names: list[str], most: int) -> list[str]:
    """Keep the first rows of each kind, and answer their names; the bars of all others get row `most`."""
    kinds = [name.partition(" ")[0] for name in names]
    share = most // len(set(kinds))
    kept = [row for row, kind in enumerate(kinds) if kinds[:row].count(kind) < share]
    for bar in bars:
        bar.row = kept.index(bar.row) if bar.row in kept else most
    return [*(names[row] for row in kept), f"and {len(names) - len(kept)} more"]


def scale(events: list[Told], left: float, room: float, least: float = 1.0) -> Scale:
    """Where a moment stands: to the right of all earlier ones, further after a longer pause.

    Few moments are spread over the `room`; many are pressed into it, but not below the `least`.
    """
    moments = sorted(moments_of(events))
    places = {moments[0]: left}
    for before, moment in pairwise(moments):
        # In proportion, what matters would be hair-fine beside one wait for a lock.
        places[moment] = places[before] + 8 + 5 * log2(1 + (moment - before) * 1e4)
    natural = max(places[moments[-1]] - left, 1)
    stretch = min(max(least, (room - left) / natural), MOST_STRETCH)
    return lambda moment: left + (places[moment] - left) * stretch


def moments_of(events: list[Told]) -> set[float]:
    """When something begins or ends."""
    return {float(event["at"]) for event in events} | {end_of(event) for event in events}


def end_of(event: Told) -> float:
    """When the event was over, as far as is known."""
    return float(round(event["at"] + event.get("seconds", 0.0), 6))
