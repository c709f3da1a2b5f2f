"""Draw the timelines of actions for the page, one for each backend, on one axis."""

from typing import Any

from markupsafe import Markup

from flask_sqlalchemy_testbed.timeline.drawing import MAX_EVENTS, draw, listed, summary

from .verdicts import Action


def pictures(*actions: Action, width: int) -> list[dict[str, dict[str, Any]]]:
    """Return the timelines of each action by backend, on one axis from their own beginnings.

    Args:
        actions: The actions.
        width: The width in pixels; pictures of many events are wider.

    Returns:
        For each action and backend, the values that the templates show.
    """
    timelines = [{result.backend: result.events() for result in action.results} for action in actions]
    axis = [events for each in timelines for events in each.values()]
    return [
        {backend: _timeline(events, axis, width) for backend, events in each.items()} for each in timelines
    ]


def _timeline(events: list[dict[str, Any]], axis: list[list[dict[str, Any]]], width: int) -> dict[str, Any]:
    return {
        "picture": Markup(draw(events, axis, width)),  # noqa: S704 - `draw` escapes texts
        "summary": summary(events),
        "events": listed(events),
        "more": max(len(events) - MAX_EVENTS, 0),
    }
