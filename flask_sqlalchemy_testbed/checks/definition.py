"""Define what a check is: a claim with an id that never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMISES = "promises"
"""The group of claims that only this project's own binding makes."""
GROUPS = ("binding", "lifecycle", "transactions", "portability", "faults", "isolation", PROMISES)


@dataclass(frozen=True, slots=True)
class Check:
    """One claim of the battery about an app and its database."""

    id: str
    """`group.name`; it never changes."""
    claim: str
    """The condition that must be true, in one sentence."""
    cases: tuple[int, ...] = field(default=(), kw_only=True)
    """The numbers of the reported failures in `catalogue.py` that it covers."""
    remedy: str = field(default="", kw_only=True)
    """The smallest change that makes an app pass that fails."""
    needs: tuple[str, ...] = field(default=(), kw_only=True)
    """The capabilities that a backend must have; the check is not applicable to others."""
    records: bool = field(default=False, kw_only=True)
    """Whether it describes the backends alone: no binding can make it fail, so no specimen has to."""
    unfailable: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """The backends on which no binding can make it fail, each with the reason."""
    default_of: str = field(default="", kw_only=True)
    """The product whose own default fails it, which an app may change; empty if a failure is a defect."""
    stops_server: bool = field(default=False, kw_only=True)
    """Whether it stops, freezes or fills a server of its own, which takes seconds."""

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            message = f"{self.id!r} is in no group. Begin it with one of: {', '.join(GROUPS)}."
            raise ValueError(message)

    @property
    def group(self) -> str:
        """Return the part of the id before the dot."""
        return self.id.partition(".")[0]
