"""The last actions, in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING

from .results import Action, Outcome, Result

if TYPE_CHECKING:
    from .tape import Tape

KEPT = 50


class History:
    """Keeps the last `KEPT` actions, each under its number."""

    def __init__(self) -> None:
        self._actions: OrderedDict[int, Action] = OrderedDict()
        self._numbers = count(1)
        self._lock = Lock()

    def add(self, title: str, results: list[Result], *, promise: str = "", check: str = "") -> Action:
        """Keep it, and forget the oldest."""
        with self._lock:
            action = Action(next(self._numbers), title, results, promise, check)
            self._actions[action.number] = action
            while len(self._actions) > KEPT:
                self._actions.popitem(last=False)
        return action

    def get(self, number: int) -> Action | None:
        """The action of that number, as long as it is kept."""
        return self._actions.get(number)

    def latest(self) -> list[Action]:
        """All that are kept, the newest first."""
        with self._lock:
            return list(reversed(self._actions.values()))

    def let_go(self, tapes: list[Tape]) -> None:
        """What was left open on these tapes is gone now."""
        for action in self.latest():
            for result in action.results:
                if result.outcome is Outcome.OPEN and result.tape in tapes:
                    result.outcome = Outcome.GONE
                    result.verdict = "It did not end, on purpose, until it was let go."
