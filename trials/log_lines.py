"""Format each log record as one line, with the id of its request."""

import logging
import time
import traceback
from collections.abc import Iterator

from flask_sqlalchemy_testbed.redaction import tidy

from .access_log import current

NOT_OURS = ("/lib/python", "<frozen")
MAX_FRAMES = 8


class LineFormatter(logging.Formatter):
    """Formats time, level, logger, request, message and exception in one line.

    The time is in UTC, and the innermost frame is the first.

    Passwords in URIs, options and statements are replaced by stars.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line end."""
        request = current.get()
        parts = [self.formatTime(record), record.levelname, record.name]
        if request is not None:
            parts.append(f"id={request.id} backend={request.backend}")
        parts.append(tidy(record.getMessage()))
        if record.exc_info and record.exc_info[1] is not None:
            parts.append("; caused by ".join(map(_exception, _chain(record.exc_info[1]))))
        return " ".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, its cause or context, and so on."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        yield following
        seen.append(following)
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context


def _exception(error: BaseException) -> str:
    # Further lines of a database error have the statement and its values.
    message = next(iter(str(error).strip().splitlines()), "")
    frames = traceback.extract_tb(error.__traceback__)
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in frames
        if frame is frames[-1] or not any(part in frame.filename for part in NOT_OURS)
    ]
    where = " < ".join(reversed(places[-MAX_FRAMES:]))
    return tidy(f"{type(error).__name__}: {message}") + (f" at {where}" if where else "")
