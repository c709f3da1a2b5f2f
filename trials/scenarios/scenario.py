"""Define a scenario: a promise, its check, and a function that tries it."""

from collections.abc import Callable
from dataclasses import dataclass

from flask_sqlalchemy_testbed.backends.base import Backend
from trials.stage import Stage


@dataclass(frozen=True)
class Scenario:
    """A scenario of the page."""

    id: str
    title: str
    promise: str
    check: str
    """The id of the battery's check of this promise."""
    act: Callable[[Stage], None]
    needs: frozenset[str] = frozenset()
    """The capabilities that a backend must have."""
    leaks: bool = False
    """Whether it leaves a session open on purpose."""

    def lacking(self, backend: Backend) -> str:
        """Return why the scenario is not applicable to a backend, or an empty string."""
        return backend.lacks(self.needs)


def scenario(
    id: str,  # noqa: A002 - the usual name
    title: str,
    *,
    check: str,
    needs: tuple[str, ...] = (),
    leaks: bool = False,
) -> Callable[[Callable[[Stage], None]], Scenario]:
    """Return a decorator that makes a function a scenario; the page shows its docstring."""

    def make(act: Callable[[Stage], None]) -> Scenario:
        promise = " ".join((act.__doc__ or "").split())
        return Scenario(id, title, promise, check, act, frozenset(needs), leaks)

    return make
