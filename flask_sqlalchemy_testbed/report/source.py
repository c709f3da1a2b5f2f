"""Name a place in the app's code as GitHub and SARIF do: relative to the root of its repository."""

from __future__ import annotations

import os
from pathlib import Path


def repository(folder: Path) -> Path:
    """Return the root of the repository that a folder is in; the folder itself if it is in none.

    Args:
        folder: An absolute path.
    """
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if workspace and folder.is_relative_to(workspace):
        return Path(workspace)
    return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def located(at: str, folder: Path) -> tuple[str, int] | None:
    """Return the file and the line of a place.

    Args:
        at: The place as `file:line`, or several with commas, of which the first counts; the files are
            relative to `folder`.
        folder: The folder that the run began in.

    Returns:
        The file relative to the root of the repository, or its absolute path outside; None for no place.
    """
    file, _, line = at.partition(", ")[0].rpartition(":")
    if not file or not line.isdecimal():
        return None
    path, root = folder / file, repository(folder)
    return str(path.relative_to(root) if path.is_relative_to(root) else path), int(line)
