"""Name an error of the app and the line of its code, as text: an error itself keeps sessions alive."""

from __future__ import annotations

import inspect
import os
import re
import sys
import sysconfig
from pathlib import Path
from traceback import walk_stack, walk_tb
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.shown import line_of_definition, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType, FrameType

    from flask import Flask

    # The code of a function, and the line that it is at.
    Call = tuple[CodeType, int]

_PACKAGE = Path(__file__).parents[1]
# With a separator: strings are ten times as fast as paths, and all modules of a process are compared.
_OF_HARNESS = os.path.join(_PACKAGE, "")  # noqa: PTH118 - as above
_INSTALLED = tuple(os.path.join(sysconfig.get_path(name), "") for name in ("purelib", "platlib", "stdlib"))  # noqa: PTH118
# It wraps the functions of an app that Flask calls.
_WITNESS = _PACKAGE / "battery" / "obstacles.py"
_FOR_ERROR = "for an error"
# In the evidence, before the error handler that met an error of the database, or that committed rows.
HANDLER = "by the error handler"
# When Flask calls a function of an app, by the method of Flask that calls it.
CALLED = {
    "preprocess_request": "before the view",
    "process_response": "after the view",
    "handle_user_exception": _FOR_ERROR,
    "handle_http_exception": _FOR_ERROR,
    "handle_exception": _FOR_ERROR,
    "do_teardown_request": "at the end of the request",
    "do_teardown_appcontext": "at the end of the app context",
    # These call a function that stands in place of a method of the app, such as that of a remedy.
    "pop": "at the end of the app context",
    "__call__": "for each request",
}
_ENDS_OF_CONTEXTS = {"AppContext.pop", "Flask.do_teardown_appcontext"}
# Flask calls the view, and all that the view calls; or it handles the request itself.
_OTHERS = {"dispatch_request", "wsgi_app"}
# In the message of an error: a table is missing, as SQLite, PostgreSQL and MySQL say it.
NO_TABLE = re.compile(r"no such table|relation \".+\" does not exist|Table '.+' doesn't exist")
# In the message of an error of SQLite: another transaction writes, or has written since this one read.
LOCKED = re.compile("database is locked")
# Errors that other code may have caused: a lost connection, a lock, a failed flush, a table that is missing.
_OF_OTHERS = {"SQLAlchemyError", "DatabaseError", "InterfaceError"}
_OF_STATEMENT = {"IntegrityError", "DataError"}
_OF_CALLER = {"ArgumentError", "NoResultFound", "MultipleResultsFound"}


def in_words(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    line = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def is_own(file: str) -> bool:
    """Return whether a file is the app's own code, and neither installed nor the harness's.

    Args:
        file: The path of the code, as Python has it.
    """
    return not file.startswith((_OF_HARNESS, *_INSTALLED)) and Path(file).is_file()


def is_of_harness(file: str) -> bool:
    """Return whether a file is the harness's code.

    Args:
        file: The path of the code, as Python has it.
    """
    return file.startswith(_OF_HARNESS)


def nearest_call(calls: Iterable[Call], *, beyond_harness: bool = False) -> Call | None:
    """Return the nearest call of the app's own code; None if there is none.

    Args:
        calls: Calls with their lines, the innermost first.
        beyond_harness: Also look at the calls outside the first one of the harness's code.
    """
    for code, line in calls:
        if not beyond_harness and is_of_harness(code.co_filename):
            break
        if is_own(code.co_filename):
            return code, line
    return None


def nearest_line(calls: Iterable[Call], *, beyond_harness: bool = False) -> str:
    """Return the line of `nearest_call` as `file:line`; empty if there is none.

    Args:
        calls: As for `nearest_call`.
        beyond_harness: As for `nearest_call`.
    """
    found = nearest_call(calls, beyond_harness=beyond_harness)
    return f"{shown(found[0].co_filename)}:{found[1]}" if found else ""


def line_of_app(error: BaseException, *, last: bool = False) -> str:
    """Return the last line of the app's own code in a traceback, as `file:line`; empty if there is none.

    Args:
        error: An error that was raised.
        last: Only if this line itself raised the error, and no library that it calls.
    """
    calls = [(frame.f_code, line) for frame, line in walk_tb(error.__traceback__)][::-1]
    # The harness may have refused a connection of the app, or called the app's function.
    return nearest_line(calls[:1] if last else calls, beyond_harness=True)


def caller_in_app() -> str:
    """Return the innermost function of the app that is being called, with its file and line; may be empty."""
    return function_in_app(sys._getframe(1))  # noqa: SLF001 - inspect.stack() reads each file


def function_in_app(frame: FrameType | None) -> str:
    """Return the innermost function of the app on a stack, with its file and line; may be empty.

    Args:
        frame: The top of the stack.
    """
    calls = ((one.f_code, line) for one, line in walk_stack(frame)) if frame is not None else ()
    if (found := nearest_call(calls, beyond_harness=True)) is None:
        return ""
    code, line = found
    return f"{code.co_qualname} ({shown(code.co_filename)}, line {line})"


def by_hook(error: BaseException) -> str:
    """Return a clause on the function of the app that Flask called, and that raised an error; else empty.

    A function is not named for an error that other code may have caused, such as a session without a
    rollback. An error handler is: it is called after failures, and has to expect them, except that a table is
    missing. So is a function that found SQLite's database locked: it writes in each request.

    Args:
        error: An error that was raised while an app handled a request, or ended a context.
    """
    while isinstance(error, BaseExceptionGroup):  # Flask 3.2 raises one for all functions of a teardown.
        error = error.exceptions[0]
    when, hook = _hook(frame for frame, _ in walk_tb(error.__traceback__))
    if hook is None:
        return ""
    own = NO_TABLE if when == _FOR_ERROR else LOCKED
    if not own.search(str(error)) and any(map(_may_be_of_others, _chain(error))):
        return f", met {_handler(hook)}" if when == _FOR_ERROR else ""
    return f", raised in {line_of_app(error)} by {_name(hook)}(), which Flask calls {when}"


def by_handler() -> str:
    """Return a phrase on the error handler of the app that is being called; empty if it is none."""
    frames = [frame for frame, _ in walk_stack(sys._getframe(1))]  # noqa: SLF001 - inspect.stack() reads each file
    when, hook = _hook(reversed(frames))
    return _handler(hook) if hook is not None and when == _FOR_ERROR else ""


def line_before_context_ends(frame: FrameType | None) -> str:
    """Return the line of the app that is being run, as `file:line`; empty at the end of an app context.

    Args:
        frame: The top of the stack.
    """
    place = ""
    for one, line in walk_stack(frame):
        code = one.f_code
        is_of_flask = one.f_globals.get("__name__", "").partition(".")[0] == "flask"
        if is_of_flask and code.co_qualname in _ENDS_OF_CONTEXTS:
            return ""
        if place and is_of_flask:
            break
        if not place and is_own(code.co_filename):
            place = f"{shown(code.co_filename)}:{line}"
    return place


def handler_of(app: Flask, error: BaseException) -> str:
    """Return a phrase on the error handler of the app that Flask calls for an error; empty if it has none.

    Args:
        app: The app.
        error: An error of a view that is in no blueprint.
    """
    handlers = app.error_handler_spec.get(None, {}).get(None, {})
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    code = getattr(inspect.unwrap(handler), "__code__", None) if handler is not None else None
    return _handler(code) if code is not None and is_own(code.co_filename) else ""


def _handler(code: CodeType) -> str:
    line = line_of_definition(code.co_filename, code.co_firstlineno)
    return f"{HANDLER} {_name(code)}() in {shown(code.co_filename)}:{line}"


def _name(code: CodeType) -> str:
    return code.co_qualname.rpartition("<locals>.")[2]


def _hook(frames: Iterable[FrameType]) -> tuple[str, CodeType | None]:
    """Return when Flask called the function of the app in the frames, and its code; None if it is none.

    The last call of Flask counts: an error handler may raise the error of a view again.
    """
    when, hook = "", None
    for frame in frames:
        code = frame.f_code
        if _is_of_flask(frame):
            if _calls_functions(frame):
                when, hook = CALLED.get(code.co_name, ""), None
        elif hook is None and when and is_own(code.co_filename):
            hook = code
        elif hook is None and is_of_harness(code.co_filename) and Path(code.co_filename) != _WITNESS:
            when = ""  # The harness has registered this function.
    return when, hook


def _is_of_flask(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] == "flask"


def _chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that its function caught, and not the one that Flask called it for."""
    frames = _frames(error)
    calling = [number for number, frame in enumerate(frames) if _calls_functions(frame)]
    # An error on its way through one of these frames was not caught by the function.
    outside = frames[: calling[-1] + 1] if calling else []
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
        earlier = _frames(error)
        if any(map(_calls_functions, earlier)) or any(frame in outside for frame in earlier[:1]):
            break
    return found


def _frames(error: BaseException | None) -> list[FrameType]:
    return [frame for frame, _ in walk_tb(error.__traceback__)] if error is not None else []


def _calls_functions(frame: FrameType) -> bool:
    """Return whether Flask calls a function of the app, or the view, in a frame."""
    return _is_of_flask(frame) and frame.f_code.co_name in {*CALLED, *_OTHERS}


def _may_be_of_others(error: BaseException) -> bool:
    """Return whether another function than the one that raised an error of SQLAlchemy may be its cause."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _OF_STATEMENT:
        # A commit has no statement: the rows may be another's, as those of the checks are.
        statement = getattr(error, "statement", "")
        return statement is None or "testbed_" in statement
    return bool(names & _OF_OTHERS) and not names & _OF_CALLER
