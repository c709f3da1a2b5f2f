"""How events are logged: one line each, whatever they say, with the id of the request that they belong to."""

from __future__ import annotations

import logging
import time
import traceback
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.redaction import tidy

from .access_log import current

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_OURS = ("/lib/python", "<frozen")
MOST_PLACES = 8


class LineFormatter(logging.Formatter):
    """Time in UTC, level, logger, request and message; an exception as where it came from, innermost first.

    Passwords in URIs, options and statements are starred.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        request = current.get()
        parts = [self.formatTime(record), record.levelname, record.name]
        if request is not None:
            parts.append(f"id={request.id} backend={request.backend}")
        parts.append(tidy(record.getMessage()))
        if record.exc_info and record.exc_info[1] is not None:
            parts.append("; caused by ".join(map(_told, _chain(record.exc_info[1]))))
        return " ".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        yield following
        seen.append(following)
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context


def _told(error: BaseException) -> str:
    # What follows the first line of a database's error are the statement and its values.
    said = next(iter(str(error).strip().splitlines()), "")
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in frames
        if frame is frames[-1] or not any(part in frame.filename for part in NOT_OURS)
    ]
    where = " < ".join(reversed(places[-MOST_PLACES:]))
    return tidy(f"{type(error).__name__}: {said}") + (f" at {where}" if where else "")
