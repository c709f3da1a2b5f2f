"""Write the path of a file as messages show it."""

from __future__ import annotations

from pathlib import Path


def shown(path: str | Path) -> str:
    """Return a path, relative to the working directory if the file is inside.

    Args:
        path: The path of a file.
    """
    file, here = Path(path), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
