import logging
import re
import sys

from trials.access_log import Request, current
from trials.log_lines import LineFormatter


def test_a_record_with_line_breaks_is_one_line() -> None:
    line = LineFormatter().format(record("first\nsecond\r\n2026-01-01T00:00:00.000Z INFO forged"))

    stamp, _, rest = line.partition(" ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert rest == "WARNING app first second 2026-01-01T00:00:00.000Z INFO forged"


def test_a_line_names_its_request() -> None:
    token = current.set(Request("abc", "mysql", "GET", "/"))
    line = LineFormatter().format(record("away"))
    current.reset(token)

    assert line.endswith("WARNING app id=abc backend=mysql away")


def test_an_exception_is_logged_with_frames_and_causes_in_the_same_line() -> None:
    try:
        try:
            json_of_nothing()
        except ValueError as error:
            message = "first line\n[SQL: SELECT secret]"
            raise RuntimeError(message) from error
    except RuntimeError:
        line = LineFormatter().format(record("failed", failed=True))

    here = rf"{re.escape(__file__)}:\d+ test_an_exception\w+"
    assert re.search(rf"failed RuntimeError: first line at {here}; caused by ValueError: empty at ", line)
    assert "\n" not in line
    assert "secret" not in line


def test_passwords_are_replaced_by_stars() -> None:
    line = LineFormatter().format(record("mysql://testbed:hunter2@mysql/testbed, password='hunter2'"))

    assert "hunter2" not in line


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    error = sys.exc_info() if failed else None
    return logging.LogRecord("app", logging.WARNING, __file__, 1, message, None, error)


def json_of_nothing() -> None:
    message = "empty"
    raise ValueError(message)
