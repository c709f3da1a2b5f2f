"""What happens to sessions and connections, as a list of events that can be kept, sent and drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.redaction import tidy

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Event:
    """Something that happened at that `time.monotonic()`, in that thread.

    Contexts, sessions and connections have numbers. A statement has no `seconds` before it has ended.
    Its text may hold what nobody else should see: what leaves the process goes through `as_json`.
    """

    at: float
    kind: str
    thread: str
    context: int | None = None
    session: int | None = None
    connection: int | None = None
    text: str = ""
    seconds: float | None = None
    failed: bool = False


_FIELDS = tuple(field.name for field in fields(Event))


def as_json(events: Iterable[Event], since: float) -> list[dict[str, Any]]:
    """The events in order, in seconds after `since`; contexts, sessions and connections are counted from 1.

    Passwords are starred, and what says nothing is left out.
    """
    numbers: dict[str, dict[int, int]] = {"context": {}, "session": {}, "connection": {}}
    told = []
    for event in sorted(events, key=lambda event: event.at):
        found = {name: value for name in _FIELDS if (value := getattr(event, name)) not in (None, "", False)}
        found["at"] = round(event.at - since, 6)
        if event.seconds is not None:
            found["seconds"] = round(event.seconds, 6)
        if event.text:
            found["text"] = tidy(event.text)
        for what, known in numbers.items():
            if what in found:
                found[what] = known.setdefault(found[what], len(known) + 1)
        told.append(found)
    return told
