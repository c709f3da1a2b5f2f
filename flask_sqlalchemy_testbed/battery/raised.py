"""Name an error of the app and the line of its code, as text: an error itself keeps sessions alive."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_PACKAGE = Path(__file__).parents[1]
_INSTALLED = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")]


def in_words(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def line_of_app(error: BaseException, *, last: bool = False) -> str:
    """Return the last line of the app's own code in a traceback, as `file:line`; empty if there is none.

    Args:
        error: An error that was raised.
        last: Only if this line itself raised the error, and no library that it calls.
    """
    lines = list(_lines(error))
    if last:
        lines = lines[-1:]
    return next((line for line, is_own in reversed(lines) if is_own), "")


def caller_in_app() -> str:
    """Return the innermost function of the app that is being called, with its file and line; may be empty."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads each file
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if _is_own(path):
            return f"{frame.f_code.co_qualname} ({shown(path)}, line {frame.f_lineno})"
        frame = frame.f_back
    return ""


def _is_own(path: Path) -> bool:
    return path.is_file() and not any(map(path.is_relative_to, [_PACKAGE, *_INSTALLED]))


def _lines(error: BaseException) -> Iterator[tuple[str, bool]]:
    traceback = error.__traceback__
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        yield f"{shown(path)}:{traceback.tb_lineno}", _is_own(path)
        traceback = traceback.tb_next
