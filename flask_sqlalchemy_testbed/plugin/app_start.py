"""Run the start-up code of the app: its time is limited, and its output is captured."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.plugin import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from flask_sqlalchemy_testbed.subject.resolve import AppOptions
    from flask_sqlalchemy_testbed.subject.subject import Subject

# The last lines of its output that a message shows.
MOST_LINES = 30


def resolve_app(config: pytest.Config, options: AppOptions, uri: str, other_uri: str) -> Subject:
    """Find out how the app is made, within the time limit of its start.

    Args:
        config: names the limit.
        options: the user's options about the app.
        uri: an empty database of the run.
        other_uri: another one, for a second app.

    Raises:
        SubjectError: the app cannot be tried; the message ends with the output of its code.
    """
    from flask_sqlalchemy_testbed.subject.errors import SubjectError  # noqa: PLC0415 - slow to import
    from flask_sqlalchemy_testbed.subject.resolve import resolve  # noqa: PLC0415 - the same
    from flask_sqlalchemy_testbed.subject.time_limit import TookTooLongError, within  # noqa: PLC0415 - the same

    seconds = settings.seconds(config, "start-timeout")
    output: list[str] = []
    too_long = (
        f"{options} was not made within {seconds:g} s. If it needs more time, raise the limit with"
        f" {flag('start-timeout')} SECONDS. It was in:\n"
    )

    def show_stack(stack: str) -> None:
        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - seldom needed

        # What is written to a captured output is lost when the process ends.
        config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
        sys.stderr.write(redact(f"{too_long}{stack}\n"))
        sys.stderr.flush()

    try:
        with _captured(config, output), within(seconds, last_resort=show_stack):
            return resolve(options, uri, other_uri)
    except TookTooLongError as error:
        message = f"{too_long}{error.stack}{_last_lines(output)}"
        raise SubjectError(message) from None
    except SubjectError as error:
        message = f"{error}{_last_lines(output)}"
        raise type(error)(message) from error


@contextlib.contextmanager
def _captured(config: pytest.Config, output: list[str]) -> Iterator[None]:
    """Capture the app's output as pytest captures that of tests; with -s, show it at once."""
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    manager.resume_global_capture()
    try:
        yield
    finally:
        manager.suspend_global_capture()
        output += [text for text in manager.read_global_capture() if text]


def _last_lines(output: list[str]) -> str:
    from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - seldom needed

    lines = redact("".join(output)).strip().splitlines()[-MOST_LINES:]
    return "\n".join(["\nIt wrote:", *(f"  {line}" for line in lines)]) if lines else ""
