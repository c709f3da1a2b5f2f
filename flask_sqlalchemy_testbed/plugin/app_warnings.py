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


class WarningCounter:
    """Counts warnings, also those of workers, which pytest-xdist passes on."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Count a warning."""
        kind = warning_message.category.__name__
        self._counts[kind] += 1
        if kind not in self._first:
            line = next(iter(str(warning_message.message).strip().splitlines()), "")
            file = os.path.relpath(warning_message.filename)
            text = textwrap.shorten(_BACKGROUND.sub("", line), MOST_CHARACTERS, placeholder=" ...")
            self._first[kind] = f"{file}:{warning_message.lineno}: {text}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the number of warnings, and the first of each kind with the number of its kind."""
        if not self._counts:
            return
        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - on use

        terminalreporter.write_line(f"warnings: {self._counts.total()}; the first of each kind:", yellow=True)
        for kind, count in self._counts.most_common():
            terminalreporter.write_line(redact(f"  {kind} ({count}): {self._first[kind]}"))
