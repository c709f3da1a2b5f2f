"""A timeline as a picture: contexts, sessions and connections as bars over time, with what happened in them.

Inline SVG without a colour of its own: the page's style sheet has those, for light and for dark.
"""

from __future__ import annotations

import itertools
from html import escape
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.timeline.lanes import bars_of, crop, end_of, moments_of, place, scale

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_sqlalchemy_testbed.timeline.lanes import Bar, Scale, Told

ROW, BAR, LEFT, TOP = 26, 18, 104, 26
ROOM = 960
LEAST_STRETCH = 0.35
LETTER = 6.2  # of the small font, on average
# More would be no picture any more; the list beside it has them all.
MOST_EVENTS, MOST_ROWS = 400, 14
# What is drawn as a sign on the bar of its session or connection: the sign, its class, whose bar.
SIGNS = {
    "session committed": ("✓", "good", "session"),
    "session rolled back": ("↶", "warn", "session"),
    "session removed": ("✕", "note", "session"),
    "transaction committed": ("✓", "good", "connection"),
    "transaction rolled back": ("↶", "warn", "connection"),
    "savepoint rolled back": ("↶", "warn", "connection"),
    "connection opened": ("+", "note", "connection"),
    "connection closed": ("✕", "note", "connection"),
    "connection invalidated": ("✕", "bad", "connection"),
    "error": ("!", "bad", "connection"),
    "request failed": ("!", "bad", "context"),
}


SENT = {"statement", "question"}


def draw(events: list[Told], beside: Iterable[list[Told]] = (), room: int = ROOM) -> str:
    """The picture, or nothing where nothing happened.

    Pictures of the same `beside`, which these events are part of, have one axis and, if that can be, no more
    than the `room`: they stand one above another.
    """
    drawn = numbered(events[:MOST_EVENTS])
    if not drawn:
        return ""
    axis = [event for some in beside for event in some[:MOST_EVENTS]] or drawn
    x = scale(axis, LEFT, room, LEAST_STRETCH if beside else 1.0)
    bars = bars_of(drawn)
    names = place(bars, x)
    if len(names) > MOST_ROWS:
        names = crop(bars, names, MOST_ROWS)
    width = round(max(x(moment) for moment in moments_of(axis))) + 34
    height = TOP + len(names) * ROW + 4
    # Several rows of one kind are named once.
    first = [(row, name) for row, name in enumerate(names) if row == 0 or name != names[row - 1]]
    parts = [
        *_axis(axis, x, height),
        *(
            f'<text class="name" x="0" y="{TOP + row * ROW + 16}">{escape(name)}</text>'
            for row, name in first
        ),
        *_lives(drawn, bars, x),
        *(part for bar in bars if bar.row < MOST_ROWS for part in _bar(bar, x, width)),
        *_signs(drawn, bars, x),
    ]
    return (
        f'<svg class="timeline" role="img" aria-label="{escape(in_words(events))}"'
        f' width="{width}" height="{height}" viewBox="0 0 {width} {height}">{"".join(parts)}</svg>'
    )


def numbered(events: list[Told]) -> list[Told]:
    """The events with their statements counted, so that picture and list can be read together."""
    number = itertools.count(1)
    return [{**event, "number": next(number)} if event["kind"] in SENT else event for event in events]


def in_words(events: Iterable[Told]) -> str:
    """How much of what happened, in one line."""
    events = list(events)
    counts = [
        (sum(event["kind"] in SENT for event in events), "statement"),
        *(
            (len({event[what] for event in events if what in event}), what)
            for what in ("context", "session", "connection")
        ),
    ]
    return ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)


def _bar(bar: Bar, x: Scale, right: float) -> Iterable[str]:
    start, top = x(bar.start), TOP + bar.row * ROW + 3
    width = max((x(bar.end) if bar.end is not None else right) - start, 3)
    told = f"{bar.label}, in {bar.thread}{'' if bar.end is not None else ', not seen to end'}"
    yield (
        f'<rect class="{bar.what}{"" if bar.end is not None else " open"}" x="{start:.1f}" y="{top}"'
        f' width="{width:.1f}" height="{BAR}" rx="3"><title>{escape(told)}</title></rect>'
    )
    if bar.what in {"context", "session"}:
        room = int((width - 8) / LETTER)
        label = bar.label if len(bar.label) <= room else bar.label.replace(f"{bar.what} ", "")
        if len(label) <= room:
            yield f'<text class="label" x="{start + 4:.1f}" y="{top + 13}">{escape(label)}</text>'
    for statement in bar.inside:
        yield from _statement(statement, x, top)


def _lives(events: list[Told], bars: list[Bar], x: Scale) -> Iterable[str]:
    """A thin line for as long as a connection is known of, in use or in the pool."""
    rows = {bar.number: bar.row for bar in bars if bar.what == "connection" and bar.row < MOST_ROWS}
    for number, row in rows.items():
        known = [event["at"] for event in events if event.get("connection") == number]
        y = TOP + row * ROW + 12
        yield f'<line class="life" x1="{x(known[0]):.1f}" x2="{x(known[-1]):.1f}" y1="{y}" y2="{y}"/>'


def _statement(event: Told, x: Scale, top: float) -> Iterable[str]:
    start, end = x(event["at"]), x(end_of(event))
    kind = f"{event['kind']} bad" if event.get("failed") else event["kind"]
    width = max(end - start, 5)
    told = f"{event['number']}. {event.get('text', '')} ({duration(event)})"
    yield (
        f'<rect class="{kind}" x="{start:.1f}" y="{top + 2}" width="{width:.1f}"'
        f' height="{BAR - 4}" rx="2"><title>{escape(told)}</title></rect>'
    )
    if len(str(event["number"])) * LETTER < width - 2:
        yield (f'<text class="number" x="{start + width / 2:.1f}" y="{top + 13}">{event["number"]}</text>')


def _signs(events: list[Told], bars: list[Bar], x: Scale) -> Iterable[str]:
    rows = {(bar.what, bar.number): bar.row for bar in reversed(bars)}
    for event in events:
        sign, kind, what = SIGNS.get(event["kind"], ("", "", ""))
        row = _row_at(bars, what, event) if sign else None
        if row is None:
            row = rows.get((what, event.get(what, 0)))
        if sign and row is not None and row < MOST_ROWS:
            told = f"{event['kind']}{': ' if event.get('text') else ''}{event.get('text', '')}"
            yield (
                f'<text class="sign {kind}" x="{x(event["at"]):.1f}" y="{TOP + row * ROW + 17}">{sign}'
                f"<title>{escape(told)}</title></text>"
            )


def _row_at(bars: list[Bar], what: str, event: Told) -> int | None:
    return next(
        (
            bar.row
            for bar in bars
            if (bar.what, bar.number) == (what, event.get(what, 0))
            and bar.start <= event["at"] <= (bar.end if bar.end is not None else event["at"])
        ),
        None,
    )


def _axis(events: list[Told], x: Scale, height: int) -> Iterable[str]:
    last = float("-inf")
    for moment in sorted(moments_of(events)):
        place = x(moment)
        if place - last >= 76:  # noqa: PLR2004 - room for one label
            last = place
            yield f'<line class="tick" x1="{place:.1f}" x2="{place:.1f}" y1="{TOP - 6}" y2="{height}"/>'
            yield f'<text class="time" x="{place:.1f}" y="12">{milliseconds(moment)}</text>'


def milliseconds(seconds: float) -> str:
    """As many digits as say something."""
    value = seconds * 1000
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"  # noqa: PLR2004


def duration(event: Told) -> str:
    """How long a statement took, as far as is known."""
    if "seconds" not in event:
        return "not seen to end"
    return (
        f"failed after {milliseconds(event['seconds'])}"
        if event.get("failed")
        else milliseconds(event["seconds"])
    )
