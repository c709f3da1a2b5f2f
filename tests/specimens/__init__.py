"""Bindings that are wrong on purpose. Each names beforehand the check that must catch it.

With `SPECIMEN_CORRECTED` in the environment, each is its own corrected twin.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

CORRECTED = bool(os.environ.get("SPECIMEN_CORRECTED"))
ALL = ("sqlite", "postgresql", "mysql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Specimen:
    """What is wrong with a binding, and who must notice."""

    mistake: str
    """One sentence."""
    met: str
    """Where it is met in the wild."""
    caught_by: tuple[str, ...]
    """The ids of the checks that are about this mistake."""
    backends: tuple[str, ...] = ALL
    """Where it is a mistake at all."""
    why_not: str = ""
    """Why it is none on the others."""
    uri_env: str = ""
    """The environment variable that it reads the URI from when it is imported."""
    takes_long: bool = False
    """Its meeting is among the longest, and begins first."""
