"""Write the path of a file, and the line of a definition, as messages show them."""

from __future__ import annotations

import inspect
import linecache
import re
from pathlib import Path
from typing import Any

# In place of a line of the testbed's own code, such as a view of the battery.
TESTBED = "code of the testbed"
_DEFINITION = re.compile(r"\s*((async\s+)?def|class)\s")


def shown(path: str | Path) -> str:
    """Return a path, relative to the working directory if the file is inside.

    Args:
        path: The path of a file.
    """
    file, here = Path(path), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)


def definition_of(code: Any) -> tuple[str, int]:
    """Return the file, as messages show it, and the line of the definition of a function or a class.

    Args:
        code: The function, the method or the class.

    Raises:
        OSError: The source cannot be read.
        TypeError: It was made in C, or by `exec`.
    """
    file = inspect.getsourcefile(code) or ""
    return shown(file), line_of_definition(file, inspect.getsourcelines(code)[1])


def line_of_definition(path: str, first: int) -> int:
    """Return the line of `def` or `class`, where Python says that of the first decorator.

    Args:
        path: The path of the file.
        first: The first line of the function or the class, as Python has it.
    """
    lines = linecache.getlines(path)[first - 1 :]
    if not lines or not lines[0].lstrip().startswith("@"):
        return first
    return next((number for number, line in enumerate(lines, first) if _DEFINITION.match(line)), first)
