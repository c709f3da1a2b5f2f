"""Note the callers of the current code cheaply; format them only when a leak is reported."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING

import _pytest
import flask
import pluggy
import sqlalchemy

from flask_sqlalchemy_testbed.subject.raised import is_of_harness
from flask_sqlalchemy_testbed.subject.shown import TESTBED

if TYPE_CHECKING:
    from types import FrameType

    from flask_sqlalchemy_testbed.subject.raised import Call

_HERE = Path(__file__).parent
# Frames that are left out: SQLAlchemy's own, those of code that it generates, and the harness's.
_LEFT_OUT = (
    str(Path(sqlalchemy.__file__).parent),
    *(str(_HERE / name) for name in ("callers.py", "checkouts.py", "sessions.py")),
    "<",
)
# Beyond a test's own function all frames are pytest's.
_END = (str(Path(_pytest.__file__).parent), str(Path(pluggy.__file__).parent))
DEPTH = 4
# With the separator: flask_login is another package.
_FLASK = str(Path(flask.__file__).parent / "_").removesuffix("_")

Callers = list["Call"]


def of_this_call() -> Callers:
    """Return the nearest callers outside SQLAlchemy, the innermost first.

    This takes a few microseconds.
    """
    found: Callers = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - `inspect` is far slower
    while frame is not None and len(found) < DEPTH:
        filename = frame.f_code.co_filename
        if filename.startswith(_END):
            break
        if not filename.startswith(_LEFT_OUT):
            found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return found


def of_error(error: BaseException) -> Callers:
    """Return the calls of the user's code that led to an error, the innermost first."""
    left_out = (*_LEFT_OUT, *_END, str(_HERE.parent))
    standard = sysconfig.get_path("stdlib")
    found: Callers = []
    for frame, line in walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if not name.startswith(left_out) and ("-packages" in name or not name.startswith(standard)):
            found.insert(0, (frame.f_code, line))
    return found[:DEPTH]


def lines(callers: Callers) -> list[str]:
    """Return a line for each caller; paths in the working directory are relative to it.

    The testbed's own code, such as a view of the battery, has no place of interest, and Flask calls all code.
    """
    found = [
        TESTBED if is_of_harness(code.co_filename) else f"{_short(code.co_filename)}:{line} in {code.co_name}"
        for code, line in callers
        if not code.co_filename.startswith(_FLASK)
    ]
    return list(dict.fromkeys(found))


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else filename
