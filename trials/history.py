"""Keep the last actions in the memory of this process."""

from collections import OrderedDict
from itertools import count
from threading import Lock

from .tape import Tape
from .verdicts import Action, Result, Verdict

KEPT = 50


class History:
    """The last `KEPT` actions by their numbers."""

    def __init__(self) -> None:
        self._actions: OrderedDict[int, Action] = OrderedDict()
        self._numbers = count(1)
        self._lock = Lock()

    def add(self, title: str, results: list[Result], *, promise: str = "", check: str = "") -> Action:
        """Add an action, and drop the oldest if there are too many."""
        with self._lock:
            action = Action(next(self._numbers), title, results, promise, check)
            self._actions[action.number] = action
            while len(self._actions) > KEPT:
                self._actions.popitem(last=False)
        return action

    def get(self, number: int) -> Action | None:
        """Return the action of a number, or None if it was dropped."""
        return self._actions.get(number)

    def latest(self) -> list[Action]:
        """Return all actions, the newest first."""
        with self._lock:
            return list(reversed(self._actions.values()))

    def let_go(self, tapes: list[Tape]) -> None:
        """Mark the sessions that were left open on these tapes as ended."""
        for action in self.latest():
            for result in action.results:
                if result.verdict is Verdict.OPEN and result.tape in tapes:
                    result.verdict = Verdict.GONE
                    result.explanation = "The session stayed open, on purpose, until it was let go."
