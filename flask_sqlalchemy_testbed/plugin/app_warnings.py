"""Count the warnings of a run by their kinds, and show the first of each; only the commands do this.

Each check makes new apps, so an app repeats its warnings in thousands of lines of pytest's own summary.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import warnings

    import pytest

MOST_CHARACTERS = 200
# The link at the end of SQLAlchemy's warnings.
_BACKGROUND = re.compile(r" *\(Background on .*")
# pytest's warning of an error that ended a thread has its traceback.
_OF_THREAD = "PytestUnhandledThreadExceptionWarning"
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in .+\n', re.MULTILINE)
# After the last frame; the lines of the source and their marks are indented.
_ERROR = re.compile(rf"{_FRAME.pattern}(?: .*\n)*(?P<type>[\w.]+)(?:: (?P<text>.*))?$", re.MULTILINE)


class WarningCounter:
    """Counts warnings, also those of workers, which pytest-xdist passes on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Count a warning."""
        kind, message = warning_message.category.__name__, str(warning_message.message).strip()
        at = f"{os.path.relpath(warning_message.filename)}:{warning_message.lineno}"
        if kind == _OF_THREAD:
            kind, at, message = _of_thread(message) or (kind, at, message)
        self._counts[kind] += 1
        if kind not in self._first:
            line = next(iter(message.splitlines()), "")
            text = textwrap.shorten(_BACKGROUND.sub("", line), MOST_CHARACTERS, placeholder=" ...")
            self._first[kind] = f"{at}: {text}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the number of warnings, and the first of each kind with the number of its kind."""
        if not self._counts:
            return
        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use

        terminalreporter.write_line(f"warnings: {self._counts.total()}; the first of each kind:", yellow=True)
        for kind, count in self._counts.most_common():
            terminalreporter.write_line(redact(f"  {kind} ({count}): {self._first[kind]}"))


def _of_thread(message: str) -> tuple[str, str, str] | None:
    """Return the kind, the line of the app and the text of an error that ended a thread of the app.

    It is no verdict: a check may stop the server under a thread, and the end of a check drops its database.

    Args:
        message: The warning of pytest; None is returned if its traceback has no line of the app.
    """
    from flask_sqlalchemy_testbed.subject.raised import is_own  # noqa: PLC0415 - on use

    own = [f"{os.path.relpath(file)}:{line}" for file, line in _FRAME.findall(message) if is_own(file)]
    errors = list(_ERROR.finditer(message))
    if not own or not errors:
        return None
    error = errors[-1]
    name = error["type"].rpartition(".")[2]
    # The innermost line may be that of the session, which all of the app uses.
    return f"{name} in a thread of the app", own[0], error["text"] or ""
