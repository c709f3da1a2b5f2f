"""Run a command that may connect to databases of the run only.

Usage: python -m flask_sqlalchemy_testbed.subject.guarded_command flask db upgrade

A command that is neither `python` nor a script of this environment runs unguarded.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib.metadata import entry_points
from pathlib import Path

from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.subject.guard import only_databases_of_the_run


def main() -> None:
    """Run the command in this process; exit with its status, or with 1 if a connection was refused."""
    end_with(os.getppid())
    command = sys.argv[1:]
    if command and Path(command[0]).name in {"python", "python3"} and len(command) > 1:
        command = command[1:]
        run = _module if command[0] == "-m" else _file
    elif command and entry_points(group="console_scripts", name=command[0]):
        run = _script
    else:
        run = _replace
    sys.argv = command
    # As for any script that Python runs here.
    sys.path.insert(0, str(Path.cwd()))
    with only_databases_of_the_run() as refused:
        try:
            run()
        finally:
            if refused:  # Also where the command caught the exception.
                sys.exit(f"{refused[0]} is not a database of this run; nothing was sent.")


def _module() -> None:
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _file() -> None:
    runpy.run_path(sys.argv[0], run_name="__main__")


def _script() -> None:
    (script, *_) = entry_points(group="console_scripts", name=sys.argv[0])
    sys.exit(script.load()())


def _replace() -> None:
    try:
        os.execvp(sys.argv[0], sys.argv)  # noqa: S606 - the command is the user's
    except OSError as error:
        sys.exit(f"{sys.argv[0]} cannot be run: {error.strerror}.")


if __name__ == "__main__":
    main()
