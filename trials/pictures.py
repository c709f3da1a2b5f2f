"""Timelines of an action for the page: one picture a backend, on one axis, in the look of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from flask_sqlalchemy_testbed.timeline.drawing import draw, duration, milliseconds, numbered, summary

if TYPE_CHECKING:
    from .results import Action

# The list of one scenario's events ends here.
MOST_LISTED = 400


def pictures(*actions: Action, room: int) -> list[dict[str, dict[str, Any]]]:
    """For each action, each backend's timeline; all on one axis, each from its own beginning.

    They are about `room` pixels wide, wider where that would be too narrow to see anything.
    """
    told = [{result.backend: result.events() for result in action.results} for action in actions]
    axis = [events for each in told for events in each.values()]
    return [{backend: _timeline(events, axis, room) for backend, events in each.items()} for each in told]


def _timeline(events: list[dict[str, Any]], axis: list[list[dict[str, Any]]], room: int) -> dict[str, Any]:
    listed = [
        {
            "text": "",
            "failed": False,
            **event,
            "when": milliseconds(event["at"]),
            "took": duration(event) if "number" in event else "",
        }
        for event in numbered(events[:MOST_LISTED])
    ]
    return {
        "picture": Markup(draw(events, axis, room)),  # noqa: S704 - it escapes what it is given
        "in_words": summary(events),
        "events": listed,
        "more": max(len(events) - MOST_LISTED, 0),
    }
