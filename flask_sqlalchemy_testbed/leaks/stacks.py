"""Remembers cheaply where something happened, and tells it when asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import _pytest
import pluggy
import sqlalchemy

if TYPE_CHECKING:
    from types import CodeType, FrameType

_HERE = Path(__file__).parent
# SQLAlchemy's own frames, those that it generates, and the harness's.
_NOT_TOLD = (
    str(Path(sqlalchemy.__file__).parent),
    *(str(_HERE / name) for name in ("stacks.py", "checkouts.py", "sessions.py")),
    "<",
)
# Beyond a test's own function everything is pytest's.
_END = (str(Path(_pytest.__file__).parent), str(Path(pluggy.__file__).parent))
DEPTH = 4

Place = list[tuple["CodeType", int]]


def here() -> Place:
    """The nearest callers outside SQLAlchemy, the innermost first; a few microseconds."""
    place: Place = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None and len(place) < DEPTH:
        filename = frame.f_code.co_filename
        if filename.startswith(_END):
            break
        if not filename.startswith(_NOT_TOLD):
            place.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return place


def tell(place: Place) -> list[str]:
    """One line a caller, with paths as short as the working directory allows."""
    return [f"{_short(code.co_filename)}:{line} in {code.co_name}" for code, line in place]


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
