"""Refuse a path that cannot be written, before the first test.

A write that fails nevertheless, such as on a full disk, is reported after the verdicts. The exit status then
is not 0.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING

import pytest

from flask_sqlalchemy_testbed.options import OPTIONS, flag
from flask_sqlalchemy_testbed.plugin import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The options by the places that they name.
_TAKEN: pytest.StashKey[dict[Path, str]] = pytest.StashKey()
_LOST: pytest.StashKey[list[str]] = pytest.StashKey()


def path_of(config: pytest.Config, name: str) -> Path | None:
    """Return the path that an option names, or None.

    A relative path on the command line begins in the current folder, one in the configuration file in the
    folder of that file.

    Args:
        config: Pytest's configuration.
        name: The option.

    Raises:
        pytest.UsageError: The path cannot be written, or another program wrote what is there.
    """
    path: Path
    if value := settings.given(config, name):
        path = config.invocation_params.dir / value
    elif OPTIONS[name].default is not None and (value := settings.setting(config, name)):
        path = config.rootpath / value
    else:
        return None
    if not hasattr(config, "workerinput"):
        taken = config.stash.setdefault(_TAKEN, {})
        if (other := taken.setdefault(path.resolve(), name)) != name:
            message = f"{flag(other)} and {flag(name)} name the same place. Name two."
            raise pytest.UsageError(message)
        try:
            if not (problem := _conflict(path, name)):
                _try_to_write(path, is_folder=OPTIONS[name].metavar == "DIR")
        except OSError as error:
            problem = f"cannot be written: {error.strerror}. Name another place."
        if problem:
            message = f"{flag(name)} {value!r} {problem}"
            raise pytest.UsageError(message) from None
    return path


def write(session: pytest.Session, name: str, action: Callable[[], None]) -> bool:
    """Write the output of an option, and note an error for the end of the run.

    Args:
        session: Pytest's session; an error changes its exit status from 0 to 4.
        name: The option.
        action: The function that writes.

    Returns:
        Whether the output was written.
    """
    try:
        action()
    except OSError as error:
        value = settings.setting(session.config, name)
        line = f"{flag(name)} {value!r} was not written: {error.strerror}. Name another place, and run again."
        session.config.stash.setdefault(_LOST, []).append(line)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return False
    return True


def leave_out(session: pytest.Session, name: str) -> None:
    """Note for the end of the run that no check was run, so the output of an option was not written.

    Args:
        session: Pytest's session.
        name: The option.
    """
    value = settings.setting(session.config, name)
    line = f"{flag(name)} {value!r} was not written: no check was run."
    session.config.stash.setdefault(_LOST, []).append(line)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which files were not written."""
    for line in config.stash.get(_LOST, []):
        terminalreporter.write_line(line, red=True)


def _conflict(path: Path, name: str) -> str:
    """Return why what is there must not be replaced; an empty string if it may be."""
    if name == "report":
        from flask_sqlalchemy_testbed.report import pages  # noqa: PLC0415 - on use

        return pages.conflict(path)
    if not path.is_file():
        return "is no regular file. Name another place." if path.exists() and not path.is_dir() else ""
    from flask_sqlalchemy_testbed.report import matrix, sarif  # noqa: PLC0415 - on use

    recognizes = {"matrix": matrix.is_ours, "sarif": sarif.is_ours}.get(name)
    if recognizes is None or recognizes(path):
        return ""  # The baseline is read, which refuses other files.
    return "is a file that no run wrote. Name another file, or delete this."


def _try_to_write(path: Path, *, is_folder: bool) -> None:
    """Write for real, and leave no trace: permissions alone do not tell, and root has them all."""
    folder = path if is_folder else path.parent
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if not is_folder and path.exists():
            path.open("ab").close()
    finally:
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
