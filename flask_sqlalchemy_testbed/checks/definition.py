"""Define what a check is: a claim with an id that never changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROMISES = "promises"
"""The group of claims that only this project's own binding makes."""
GROUPS = ("binding", "lifecycle", "transactions", "portability", "faults", "isolation", "schema", PROMISES)


class Severity(StrEnum):
    """The harm that a failure does in production; the first is the worst."""

    DATA = "data at risk"
    AVAILABILITY = "availability"
    PORTABILITY = "portability"


# For the claims, which name them often.
DATA, AVAILABILITY, PORTABILITY = Severity
HARM = MappingProxyType(
    {
        DATA: "Rows are lost, wrong, or read and written by another app, request or user.",
        AVAILABILITY: "Requests fail or wait, or connections run out, until a person helps.",
        PORTABILITY: "Code that works on one database, or with one setting, works otherwise with another.",
    }
)
"""The meaning of each severity."""


@dataclass(frozen=True, slots=True)
class Check:
    """One claim of the battery about an app and its database."""

    id: str
    """`group.name`; it never changes."""
    claim: str
    """The condition that must be true, in one sentence."""
    severity: Severity | None = field(default=None, kw_only=True)
    """The harm of a failure; each check of the battery has one, a check of one's own may lack it."""
    cause: str = field(default="", kw_only=True)
    """The name of a cause in `causes.py` that its failures share with those of other checks."""
    cases: tuple[int, ...] = field(default=(), kw_only=True)
    """The numbers of the reported failures in `catalogue.py` that it covers."""
    remedy: str = field(default="", kw_only=True)
    """The smallest change that makes an app pass that fails."""
    needs: tuple[str, ...] = field(default=(), kw_only=True)
    """The capabilities that a backend must have; the check is not applicable to others."""
    connections: int = field(default=1, kw_only=True)
    """The connections of the app's pool that it needs at once; it is not applicable to a smaller pool."""
    records: bool = field(default=False, kw_only=True)
    """Whether it describes the backends alone: no binding can make it fail, so no specimen has to."""
    unfailable: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """The backends on which no binding can make it fail, each with the reason."""
    default_of: str = field(default="", kw_only=True)
    """The product whose own default fails it, which an app may change; empty if a failure is a defect."""
    stops_server: bool = field(default=False, kw_only=True)
    """Whether it stops, freezes or fills a server of its own, which takes seconds."""
    option: str = field(default="", kw_only=True)
    """The option that includes it in a run of the battery; empty if every run includes it."""

    def __post_init__(self) -> None:
        if self.group not in GROUPS:
            message = f"{self.id!r} is in no group. Begin it with one of: {', '.join(GROUPS)}."
            raise ValueError(message)

    @property
    def group(self) -> str:
        """Return the part of the id before the dot."""
        return self.id.partition(".")[0]
