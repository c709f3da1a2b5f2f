"""What throwaway servers are baked from: the files beside the package in a source tree, else its own data."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.backends.base import Recipe

_PACKAGE = Path(__file__).parent.parent


def folder(recipe: Recipe) -> Path:
    """Where the Dockerfile is."""
    return _root() / recipe.folder


def base_image(recipe: Recipe) -> str:
    """The image to build on: what the environment says, else `.env`."""
    if name := os.environ.get(recipe.variable):
        return name
    settings = dict(
        line.partition("=")[::2]
        for line in (_root() / ".env").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    return settings[recipe.variable].strip()


def digest(recipe: Recipe, base_id: str) -> str:
    """Changes whenever what would be baked does."""
    summary = hashlib.sha256(base_id.encode())
    for path in sorted(path for path in folder(recipe).rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        summary.update(
            f"{path.relative_to(folder(recipe))} {path.stat().st_mode & 0o777:o} {content}\n".encode()
        )
    return summary.hexdigest()[:12]


def _root() -> Path:
    source = _PACKAGE.parent
    return source if (source / "docker").is_dir() and (source / ".env").is_file() else _PACKAGE / "data"
