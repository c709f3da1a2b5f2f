"""Draw a timeline as inline SVG: bars for lifetimes, signs for events.

The SVG has no colours; `timeline.css` has them, for light and for dark.
"""

from __future__ import annotations

import itertools
from html import escape
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.timeline.events import STATEMENTS, EventKind
from flask_sqlalchemy_testbed.timeline.lanes import (
    Lane,
    assign_rows,
    bars_of,
    crop,
    end_of,
    moments_of,
    scale,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_sqlalchemy_testbed.timeline.events import JsonEvent
    from flask_sqlalchemy_testbed.timeline.lanes import Bar, Scale

# Pixels.
ROW_HEIGHT, BAR_HEIGHT, LEFT, TOP = 26, 18, 104, 26
WIDTH = 960
TICK_WIDTH = 76
LETTER_WIDTH = 6.2  # of the small font, on average
MIN_STRETCH = 0.35
# A larger picture cannot be read; the list beside it has all events.
MAX_EVENTS, MAX_ROWS = 400, 14
NOT_SEEN_TO_END = "not seen to end"
# For each event that is drawn as a sign: the sign, its CSS class, and the lane whose bar it stands on.
SIGNS: dict[str, tuple[str, str, Lane]] = {
    EventKind.SESSION_COMMITTED: ("✓", "good", Lane.SESSION),
    EventKind.SESSION_ROLLED_BACK: ("↶", "warn", Lane.SESSION),
    EventKind.SESSION_REMOVED: ("✕", "note", Lane.SESSION),
    EventKind.TRANSACTION_COMMITTED: ("✓", "good", Lane.CONNECTION),
    EventKind.TRANSACTION_ROLLED_BACK: ("↶", "warn", Lane.CONNECTION),
    EventKind.SAVEPOINT_ROLLED_BACK: ("↶", "warn", Lane.CONNECTION),
    EventKind.CONNECTION_OPENED: ("+", "note", Lane.CONNECTION),
    EventKind.CONNECTION_CLOSED: ("✕", "note", Lane.CONNECTION),
    EventKind.CONNECTION_INVALIDATED: ("✕", "bad", Lane.CONNECTION),
    EventKind.ERROR: ("!", "bad", Lane.CONNECTION),
    EventKind.REQUEST_FAILED: ("!", "bad", Lane.CONTEXT),
}


def draw(events: list[JsonEvent], on_axis_of: Iterable[list[JsonEvent]] = (), width: int = WIDTH) -> str:
    """Return the picture of a timeline as SVG.

    Args:
        events: The events of the timeline, as `as_json` returns them.
        on_axis_of: Several timelines, these events among them. Pictures that are drawn with the same
            timelines have the same time axis, so that they can stand one above another.
        width: The width in pixels; a picture of many events is wider.

    Returns:
        The SVG, or an empty string if there are no events.
    """
    drawn = numbered(events[:MAX_EVENTS])
    if not drawn:
        return ""
    axis = [event for timeline in on_axis_of for event in timeline[:MAX_EVENTS]] or drawn
    x = scale(axis, LEFT, width, MIN_STRETCH if on_axis_of else 1.0)
    bars = bars_of(drawn)
    names = assign_rows(bars, x)
    if len(names) > MAX_ROWS:
        names = crop(bars, names, MAX_ROWS)
    right = round(max(x(moment) for moment in moments_of(axis))) + 34
    height = TOP + len(names) * ROW_HEIGHT + 4
    # Several rows of one name show it once.
    first = [(row, name) for row, name in enumerate(names) if row == 0 or name != names[row - 1]]
    parts = [
        *_axis(axis, x, height),
        *(
            f'<text class="name" x="0" y="{TOP + row * ROW_HEIGHT + 16}">{escape(name)}</text>'
            for row, name in first
        ),
        *_lives(drawn, bars, x),
        *(part for bar in bars if bar.row < MAX_ROWS for part in _bar(bar, x, right)),
        *_signs(drawn, bars, x),
    ]
    return (
        f'<svg class="timeline" role="img" aria-label="{escape(summary(events))}"'
        f' width="{right}" height="{height}" viewBox="0 0 {right} {height}">{"".join(parts)}</svg>'
    )


def numbered(events: list[JsonEvent]) -> list[JsonEvent]:
    """Return the events with a `number` for each statement.

    Args:
        events: The events of a timeline, in order.

    Returns:
        New events; pictures and lists use the same numbers.
    """
    number = itertools.count(1)
    return [{**event, "number": next(number)} if event["kind"] in STATEMENTS else event for event in events]


def listed(events: list[JsonEvent]) -> list[JsonEvent]:
    """Return the first `MAX_EVENTS` events for a template, with their times as text.

    Args:
        events: The events of a timeline, in order.
    """
    return [
        {
            "text": "",
            "failed": False,
            "number": None,
            **event,
            "when": milliseconds(event["at"]),
            "took": duration(event) if "number" in event else "",
        }
        for event in numbered(events[:MAX_EVENTS])
    ]


def summary(events: list[JsonEvent]) -> str:
    """Return how many statements, contexts, sessions and connections a timeline has.

    Args:
        events: The events of a timeline.
    """
    counts = [
        (sum(event["kind"] in STATEMENTS for event in events), "statement"),
        *(
            (len({event[lane] for event in events if lane in event}), lane)
            for lane in (Lane.CONTEXT, Lane.SESSION, Lane.CONNECTION)
        ),
    ]
    return ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)


def _bar(bar: Bar, x: Scale, right: float) -> Iterable[str]:
    start, top = x(bar.start), TOP + bar.row * ROW_HEIGHT + 3
    width = max((x(bar.end) if bar.end is not None else right) - start, 3)
    is_open = bar.end is None
    title = f"{bar.label}, in {bar.thread}{f', {NOT_SEEN_TO_END}' if is_open else ''}"
    yield (
        f'<rect class="{bar.lane}{" open" if is_open else ""}" x="{start:.1f}" y="{top}"'
        f' width="{width:.1f}" height="{BAR_HEIGHT}" rx="3"><title>{escape(title)}</title></rect>'
    )
    if bar.lane in {Lane.CONTEXT, Lane.SESSION}:
        letters = int((width - 8) / LETTER_WIDTH)
        label = bar.label if len(bar.label) <= letters else bar.label.replace(f"{bar.lane} ", "")
        if len(label) <= letters:
            yield f'<text class="label" x="{start + 4:.1f}" y="{top + 13}">{escape(label)}</text>'
    for statement in bar.statements:
        yield from _statement(statement, x, top)


def _lives(events: list[JsonEvent], bars: list[Bar], x: Scale) -> Iterable[str]:
    """Draw a thin line from the first to the last event of each connection.

    The line covers the time in use and in the pool.
    """
    rows = {bar.number: bar.row for bar in bars if bar.lane is Lane.CONNECTION and bar.row < MAX_ROWS}
    for number, row in rows.items():
        known = [event["at"] for event in events if event.get("connection") == number]
        y = TOP + row * ROW_HEIGHT + 12
        yield f'<line class="life" x1="{x(known[0]):.1f}" x2="{x(known[-1]):.1f}" y1="{y}" y2="{y}"/>'


def _statement(event: JsonEvent, x: Scale, top: float) -> Iterable[str]:
    start, end = x(event["at"]), x(end_of(event))
    css = "statement" if event["kind"] == EventKind.STATEMENT else "check-statement"
    width = max(end - start, 5)
    title = f"{event['number']}. {event.get('text', '')} ({duration(event)})"
    yield (
        f'<rect class="{css}{" bad" if event.get("failed") else ""}" x="{start:.1f}" y="{top + 2}"'
        f' width="{width:.1f}" height="{BAR_HEIGHT - 4}" rx="2"><title>{escape(title)}</title></rect>'
    )
    if len(str(event["number"])) * LETTER_WIDTH < width - 2:
        yield f'<text class="number" x="{start + width / 2:.1f}" y="{top + 13}">{event["number"]}</text>'


def _signs(events: list[JsonEvent], bars: list[Bar], x: Scale) -> Iterable[str]:
    for event in events:
        if event["kind"] not in SIGNS:
            continue
        sign, css, lane = SIGNS[event["kind"]]
        row = _row_at(bars, lane, event)
        if row is not None and row < MAX_ROWS:
            title = f"{event['kind']}{': ' if event.get('text') else ''}{event.get('text', '')}"
            yield (
                f'<text class="sign {css}" x="{x(event["at"]):.1f}" y="{TOP + row * ROW_HEIGHT + 17}">{sign}'
                f"<title>{escape(title)}</title></text>"
            )


def _row_at(bars: list[Bar], lane: Lane, event: JsonEvent) -> int | None:
    """Return the row of the event's bar, or else of the first bar of its object."""
    own = [bar for bar in bars if (bar.lane, bar.number) == (lane, event.get(lane, 0))]
    around = [bar for bar in own if bar.start <= event["at"] and (bar.end is None or event["at"] <= bar.end)]
    return next((bar.row for bar in around + own), None)


def _axis(events: list[JsonEvent], x: Scale, height: int) -> Iterable[str]:
    last = float("-inf")
    for moment in sorted(moments_of(events)):
        place = x(moment)
        if place - last >= TICK_WIDTH:
            last = place
            yield f'<line class="tick" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP - 6}" y2="{height}"/>'
            yield f'<text class="time" x="{place:.1f}" y="12">{milliseconds(moment)}</text>'


def milliseconds(seconds: float) -> str:
    """Return the time in milliseconds, with about three significant digits.

    Args:
        seconds: The time in seconds.
    """
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"  # noqa: PLR2004


def duration(event: JsonEvent) -> str:
    """Return how long a statement took, and whether it failed.

    Args:
        event: The event of a statement.
    """
    if "seconds" not in event:
        return NOT_SEEN_TO_END
    took = milliseconds(event["seconds"])
    return f"failed after {took}" if event.get("failed") else took
