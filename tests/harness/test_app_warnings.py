"""The summary of a run's warnings has the first of each kind in one short line."""

import warnings
from typing import Any

import pytest

from flask_sqlalchemy_testbed.plugin.app_warnings import MOST_CHARACTERS, WarningCounter

BACKGROUND = "(Background on this error at: https://sqlalche.me/e/21/b8d9)"


class Terminal:
    """Keeps the lines that are written to it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write_line(self, line: str, **_: Any) -> None:
        self.lines.append(line)


@pytest.mark.bad_day
@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("It is legacy.", "It is legacy."),
        (f"It is legacy. (deprecated since: 2.0) {BACKGROUND}", "It is legacy. (deprecated since: 2.0)"),
        ("legacy construct " * 20, f"{'legacy construct ' * 11}legacy ..."),
    ],
)
def test_a_warning_is_cut_between_words(message: str, shown: str) -> None:
    counter, terminal = WarningCounter(), Terminal()

    counter.pytest_warning_recorded(warnings.WarningMessage(message, UserWarning, "shop.py", 7))
    counter.pytest_terminal_summary(terminal)  # type: ignore[arg-type] # it only writes lines

    assert len(shown) <= MOST_CHARACTERS
    assert terminal.lines[1:] == [f"  UserWarning (1): shop.py:7: {shown}"]
