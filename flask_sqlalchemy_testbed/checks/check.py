"""What a check is: a claim with a stable id, on a test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

GROUPS = ("binding", "lifecycle", "transactions", "portability", "faults", "isolation", "promises")


@dataclass(frozen=True, slots=True)
class Check:
    """One claim of the battery."""

    id: str
    """`group.name`; it never changes."""
    claim: str
    """One sentence on what must hold."""
    cases: tuple[int, ...]
    """The cases of the catalogue that it covers."""
    remedy: str
    """The smallest change that mends a subject that fails."""
    needs: tuple[str, ...] = ()
    """The capabilities of the backend without which it does not apply."""
    records: bool = False
    """It states what the backends themselves do: no binding decides it, so no specimen can fail it."""
    unfailable: Mapping[str, str] = field(default_factory=dict)
    """The backends on which it applies and no binding can fail it either, each with the reason."""

    stops_server: bool = False
    """It stops, freezes or fills a server of its own, which takes seconds."""

    @property
    def group(self) -> str:
        """The part before the dot."""
        return self.id.partition(".")[0]


def check(  # noqa: PLR0913 - all but the first two have names
    id: str,  # noqa: A002 - it is what everybody calls it
    claim: str,
    *,
    cases: tuple[int, ...] = (),
    needs: tuple[str, ...] = (),
    remedy: str = "",
    records: bool = False,
    unfailable: Mapping[str, str] | None = None,
    stops_server: bool = False,
) -> Callable[[F], F]:
    """Make a test a check of that id, which claims that."""
    it = Check(id, claim, cases, remedy, needs, records, dict(unfailable or {}), stops_server)
    if it.group not in GROUPS:
        message = f"{id!r} is in no group. Begin it with one of: {', '.join(GROUPS)}."
        raise ValueError(message)

    def mark(function: F) -> F:
        needed = needs + (("promises",) if it.group == "promises" else ())
        marked = pytest.mark.testbed_needs(*needed)(function) if needed else function
        return pytest.mark.testbed_check(it)(marked)  # type: ignore[no-any-return]

    return mark


def check_of(item: pytest.Item) -> Check | None:
    """The check that a test is, if it is one."""
    mark = item.get_closest_marker("testbed_check")
    return mark.args[0] if mark else None
