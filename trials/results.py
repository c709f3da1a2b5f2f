"""What came of an action on one backend, with words for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.timeline.events import as_json

if TYPE_CHECKING:
    from typing import Any

    from .stage import Fact, Reply
    from .tape import Tape


class Outcome(Enum):
    """The sign, the word, the class of its colour."""

    KEPT = "✓", "kept", "good"
    BROKEN = "✗", "broken", "bad"
    OPEN = "●", "left open", "bad"
    GONE = "○", "let go", "good"
    AWAY = "?", "no database", "warn"
    NOT_APPLICABLE = "·", "n/a", "none"
    ANSWERED = "→", "answered", "none"

    @property
    def sign(self) -> str:
        """To be seen beside its word."""
        return self.value[0]

    @property
    def word(self) -> str:
        """In one or two words."""
        return self.value[1]

    @property
    def kind(self) -> str:
        """The colour's class."""
        return self.value[2]


@dataclass
class Result:
    """Of one backend; a leak's changes when it is let go."""

    backend: str
    outcome: Outcome
    verdict: str
    """The outcome in one sentence."""
    facts: list[Fact] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    tape: Tape | None = None

    def events(self) -> list[dict[str, Any]]:
        """Its timeline, in seconds after its beginning."""
        events = list(self.tape.events) if self.tape is not None else []
        return as_json(events, min((event.at for event in events), default=0.0))


@dataclass
class Action:
    """Something that somebody did on the page."""

    number: int
    title: str
    results: list[Result]
    promise: str = ""
    check: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def in_words(self) -> str:
        """What came of it where, in one line."""
        came: dict[str, list[str]] = {}
        for result in self.results:
            came.setdefault(result.outcome.word, []).append(result.backend)
        return "; ".join(f"{word} on {', '.join(backends)}" for word, backends in came.items()) + "."


def judge(facts: list[Fact], left: list[Fact], *, leaks: bool) -> tuple[Outcome, str]:
    """The verdict on what was found and on what is `left`, which `leaks` wants not to be as promised."""
    if wrong := [fact.told for fact in facts if not fact.holds]:
        return Outcome.BROKEN, f"Not as promised. {wrong[0]}."
    if stays := [fact.told for fact in left if not fact.holds]:
        if leaks:
            return Outcome.OPEN, "The session did not end, on purpose."
        return Outcome.BROKEN, f"The session did not end as promised. {stays[0]}."
    if leaks:
        return Outcome.BROKEN, "The session was to stay open, and did not."
    return Outcome.KEPT, "The session ended as promised."
