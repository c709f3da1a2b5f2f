"""What a test left to look at: its source, what was printed, the server's log, the timeline."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import os
import shutil
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.redaction import redact
from flask_sqlalchemy_testbed.timeline.events import as_json
from flask_sqlalchemy_testbed.timeline.recorder import SPOOL, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_sqlalchemy_testbed.report.matrix import Attempt


LONGEST_LINE, MOST_LINES = 1000, 200
GONE = "(cannot be had"


class Gatherer:
    """Records while checks run, and only then."""

    def __init__(self) -> None:
        self._spool = Path(tempfile.mkdtemp(prefix="testbed-recorder-"))
        self._recorder = Recorder(self._spool)
        self._listening = False
        self._late: list[tuple[pytest.Item, list[Attempt]]] = []

    def begin(self) -> None:
        """A check begins."""
        if not self._listening:
            self._recorder.install()
            os.environ[SPOOL] = str(self._spool)
            self._listening = True
        self._recorder.take()

    @contextlib.contextmanager
    def listening_to_the_check(self) -> Iterator[None]:
        """The check itself runs: what its fixtures did is forgotten, what it asks by itself is heard."""
        self._recorder.take()
        Connection.listener = self._recorder.record_check_statement
        try:
            yield
        finally:
            Connection.listener = None

    def end(self, item: pytest.Item, attempts: list[Attempt]) -> None:
        """It has ended, and its fixtures with it."""
        events = self._recorder.take()
        timeline = as_json(events, min((event.at for event in events), default=0.0))
        for attempt in attempts:
            # The end of a test may have added to what its failure shows.
            for report in item.stash.get(state.FAILURES, []):
                _add_sections(attempt, report)
            attempt["timeline"] = timeline
            attempt["source"] = source(item.function) if isinstance(item, pytest.Function) else ""
        self._late.append((item, attempts))

    def add(self, item: pytest.Item, attempt: Attempt, report: pytest.TestReport) -> None:
        """What the report has to show, and what the server wrote."""
        _add_sections(attempt, report)
        # Now, since a server of the test's own is gone at the end.
        if report.when == "call" or report.failed:
            attempt["log"] = _log(item)

    def read_late_logs(self) -> list[str]:
        """A line may take a moment from the server to its log, so each log is read again a little later.

        The tests are answered that have more of it now.
        """
        more = []
        late, self._late = self._late, []
        for item, attempts in late:
            log = _log(item)
            for attempt in attempts:
                if log and len(log) > len(attempt.get("log") or "") and not log.startswith(GONE):
                    attempt["log"] = log
                    more.append(attempt["test"])
        return more

    def pause(self) -> None:
        """What follows is no check."""
        if self._listening:
            os.environ.pop(SPOOL, None)
            self._recorder.remove()
            self._listening = False

    def close(self) -> None:
        """Nothing more is to come."""
        self.pause()
        shutil.rmtree(self._spool, ignore_errors=True)


def _add_sections(attempt: Attempt, report: pytest.TestReport) -> None:
    sections = attempt.setdefault("sections", [])
    for title, text in report.sections:
        section = (title, _bounded(text))
        # Reports of later phases have those of earlier ones too, and the log is shown by itself.
        if section not in sections and not title.endswith(" log"):
            sections.append(section)


def _log(item: pytest.Item) -> str | None:
    if state.BEGAN not in item.stash:
        return None
    began, server = item.stash[state.BEGAN]
    return _bounded(server.log(began)) if "container" in server.capabilities else None


def _bounded(text: str) -> str:
    """The text without passwords; a server may log a statement of megabytes."""
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in text.splitlines()]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines[half:-half] = [f"… {len(lines) - 2 * half} lines …"]
    return redact("\n".join(lines).rstrip())


@functools.cache
def source(function: Callable[..., object]) -> str:
    """The function as it is written, without what is said above it."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except OSError:
        return ""
    (definition,) = ast.parse(text).body
    return "".join(text.splitlines(keepends=True)[definition.lineno - 1 :])
