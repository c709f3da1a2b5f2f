"""Define the results of an action, and judge them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from flask_sqlalchemy_testbed.timeline.events import as_json

from .stage import Fact, Reply
from .tape import Tape


class Verdict(Enum):
    """The verdict on an action on one backend.

    The values are its sign, its word, and the CSS class of its colour.
    """

    KEPT = "✓", "kept", "good"
    BROKEN = "✗", "broken", "bad"
    OPEN = "●", "left open", "bad"
    GONE = "○", "let go", "good"
    AWAY = "?", "no database", "warn"
    NOT_APPLICABLE = "·", "n/a", "none"
    ANSWERED = "→", "answered", "none"

    @property
    def sign(self) -> str:
        """Return the sign beside the word."""
        return self.value[0]

    @property
    def word(self) -> str:
        """Return the verdict in one or two words."""
        return self.value[1]

    @property
    def kind(self) -> str:
        """Return the CSS class of the colour."""
        return self.value[2]


@dataclass
class Result:
    """The result on one backend. That of a leak changes when the leak is ended."""

    backend: str
    verdict: Verdict
    explanation: str
    """The verdict in one sentence."""
    facts: list[Fact] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    tape: Tape | None = None

    def events(self) -> list[dict[str, Any]]:
        """Return the events of the action, in seconds after the first one."""
        events = list(self.tape.events) if self.tape is not None else []
        return as_json(events, min((event.at for event in events), default=0.0))


@dataclass
class Action:
    """An action that a user started on the page."""

    number: int
    title: str
    results: list[Result]
    promise: str = ""
    check: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def summary(self) -> str:
        """Return the verdicts with their backends, in one line."""
        backends_of: dict[str, list[str]] = {}
        for result in self.results:
            backends_of.setdefault(result.verdict.word, []).append(result.backend)
        return "; ".join(f"{word} on {', '.join(backends)}" for word, backends in backends_of.items()) + "."


def judge(facts: list[Fact], left: list[Fact], *, leaks: bool) -> tuple[Verdict, str]:
    """Return the verdict on an action, and its explanation.

    Args:
        facts: The facts that the action stated.
        left: The facts about open sessions, connections and transactions.
        leaks: Whether the action leaves a session open on purpose.
    """
    if wrong := [fact.text for fact in facts if not fact.holds]:
        return Verdict.BROKEN, f"Not as promised: {wrong[0]}."
    if stays := [fact.text for fact in left if not fact.holds]:
        if leaks:
            return Verdict.OPEN, "The session did not end, on purpose."
        return Verdict.BROKEN, f"The session did not end as promised: {stays[0]}."
    if leaks:
        return Verdict.BROKEN, "The session should have stayed open, but it ended."
    return Verdict.KEPT, "The session ended as promised."
