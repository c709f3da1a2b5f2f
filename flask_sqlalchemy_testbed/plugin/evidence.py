"""Gather the evidence of a check: its source, its output, the server's log, the timeline."""

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
# The beginning of the text that stands for a log that cannot be read any more.
GONE = "(cannot be"


class Gatherer:
    """Records events while checks run, and removes its listeners otherwise."""

    def __init__(self) -> None:
        self._spool = Path(tempfile.mkdtemp(prefix="testbed-recorder-"))
        self._recorder = Recorder(self._spool)
        self._listening = False
        self._late: list[tuple[pytest.Item, list[Attempt]]] = []

    def begin(self) -> None:
        """Record from now on, with an empty timeline."""
        if not self._listening:
            self._recorder.install()
            os.environ[SPOOL] = str(self._spool)
            self._listening = True
        self._recorder.take()

    @contextlib.contextmanager
    def listening_to_the_check(self) -> Iterator[None]:
        """Record also the harness's own statements in the block; forget the events of the fixtures."""
        self._recorder.take()
        Connection.listener = self._recorder.record_check_statement
        try:
            yield
        finally:
            Connection.listener = None

    def end(self, item: pytest.Item, attempts: list[Attempt]) -> None:
        """Add the evidence that is complete when the fixtures of a test are torn down."""
        events = self._recorder.take()
        timeline = as_json(events, min((event.at for event in events), default=0.0))
        for attempt in attempts:
            # The teardown may have added sections to earlier reports.
            for report in item.stash.get(state.FAILURES, []):
                _add_sections(attempt, report)
            attempt["timeline"] = timeline
            attempt["source"] = source(item.function) if isinstance(item, pytest.Function) else ""
        self._late.append((item, attempts))

    def add(self, item: pytest.Item, attempt: Attempt, report: pytest.TestReport) -> None:
        """Add the sections of a report, and the server's log."""
        _add_sections(attempt, report)
        # Not later: a server of the test's own is removed in the teardown.
        if report.when == "call" or report.failed:
            attempt["log"] = _log(item)

    def read_late_logs(self) -> list[str]:
        """Read each log a second time: the last lines may reach the log after the test has ended.

        Returns:
            The ids of the tests that have more lines now.
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
        """Stop recording until the next check begins."""
        if self._listening:
            os.environ.pop(SPOOL, None)
            self._recorder.remove()
            self._listening = False

    def close(self) -> None:
        """Stop recording, and delete the files of forked processes."""
        self.pause()
        shutil.rmtree(self._spool, ignore_errors=True)


def _add_sections(attempt: Attempt, report: pytest.TestReport) -> None:
    sections = attempt.setdefault("sections", [])
    for title, text in report.sections:
        section = (title, _bounded(text))
        # A report repeats the sections of earlier phases; the log has its own place.
        if section not in sections and not title.endswith(" log"):
            sections.append(section)


def _log(item: pytest.Item) -> str | None:
    if state.BEGAN not in item.stash:
        return None
    began, server = item.stash[state.BEGAN]
    return _bounded(server.log(began)) if "container" in server.capabilities else None


def _bounded(text: str) -> str:
    """Remove passwords, then shorten the text, since a server may log a statement of megabytes."""
    whole = redact(text).rstrip().splitlines()
    lines = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} …" for line in whole]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines[half:-half] = [f"… {len(lines) - 2 * half} lines …"]
    return "\n".join(lines)


@functools.cache
def source(function: Callable[..., object]) -> str:
    """Return the source of a function without its decorators; an empty string if there is none."""
    try:
        text = textwrap.dedent(inspect.getsource(function))
    except OSError:
        return ""
    (definition,) = ast.parse(text).body
    return "".join(text.splitlines(keepends=True)[definition.lineno - 1 :])
