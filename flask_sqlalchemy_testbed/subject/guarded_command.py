"""Run a command that may connect to databases of the run only.

Usage: python -m flask_sqlalchemy_testbed.subject.guarded_command flask db upgrade

A command that is neither `python` nor a script of this environment runs unguarded. The databases are those
that the parent process has allowed.
"""

from __future__ import annotations

import os
import re
import runpy
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.subject.guard import inherit, only_databases_of_the_run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def is_guarded(command: Sequence[str]) -> bool:
    """Return whether the connections of a command can be refused.

    Args:
        command: The words of the command.
    """
    return _runner(command) is not _replace


def main() -> None:
    """Run the command in this process, and exit with its status.

    The status is 1 if a connection was refused.
    """
    end_with(os.getppid())
    command = sys.argv[1:]
    run = _runner(command)
    sys.argv = command[1:] if run in {_module, _file} else command
    inherit()
    # As for any script that Python runs here.
    sys.path.insert(0, str(Path.cwd()))
    with only_databases_of_the_run() as refused:
        try:
            run()
        finally:
            if refused:  # Also where the command caught the exception.
                sys.exit(f"{refused[0]} is not a database of this run; nothing was sent.")


def _runner(command: Sequence[str]) -> Callable[[], None]:
    """Return the function that runs the command with the words in `sys.argv`."""
    if len(command) > 1 and re.fullmatch(r"python(3(\.\d+)?)?", Path(command[0]).name):
        if command[1] == "-m":
            return _module
        if not command[1].startswith("-"):
            return _file
    elif command and entry_points(group="console_scripts", name=Path(command[0]).name):
        return _script
    return _replace


def _module() -> None:
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _file() -> None:
    runpy.run_path(sys.argv[0], run_name="__main__")


def _script() -> None:
    (script, *_) = entry_points(group="console_scripts", name=Path(sys.argv[0]).name)
    sys.exit(script.load()())


def _replace() -> None:
    try:
        os.execvp(sys.argv[0], sys.argv)  # noqa: S606 - the command is the user's
    except OSError as error:
        sys.exit(f"{sys.argv[0]} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    main()
