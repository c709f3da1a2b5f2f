"""What a scenario is: a promise, the check that keeps it, and what is done to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_sqlalchemy_testbed.backends.base import Backend
    from trials.stage import Stage


@dataclass(frozen=True)
class Scenario:
    """One thing to try."""

    id: str
    title: str
    promise: str
    check: str
    """The id of the battery's check of it."""
    act: Callable[[Stage], None]
    needs: frozenset[str] = frozenset()
    """Capabilities of the backend without which it cannot be."""
    leaks: bool = False
    """It leaves a session open, on purpose."""

    def lacking(self, backend: Backend) -> str:
        """Why that backend cannot have it; nothing where it can."""
        return backend.lacks(self.needs)


def scenario(
    id: str,  # noqa: A002 - it is what everybody calls it
    title: str,
    *,
    check: str,
    needs: tuple[str, ...] = (),
    leaks: bool = False,
) -> Callable[[Callable[[Stage], None]], Scenario]:
    """Make what is done a scenario; its docstring is the promise, for who reads the page."""

    def make(act: Callable[[Stage], None]) -> Scenario:
        promise = " ".join((act.__doc__ or "").split())
        return Scenario(id, title, promise, check, act, frozenset(needs), leaks)

    return make
