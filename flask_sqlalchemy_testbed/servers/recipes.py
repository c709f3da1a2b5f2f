"""Find the build contexts of the throwaway servers' images.

They are in the source tree or in the installed package.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.redaction import THROWAWAY_PASSWORD

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend, Recipe

_PACKAGE = Path(__file__).parent.parent
# In the images of docker/*/bake.
USER = DATABASE = "testbed"
PASSWORD = THROWAWAY_PASSWORD


def folder(recipe: Recipe) -> Path:
    """Return the folder of the Dockerfile."""
    return _root() / recipe.folder


def base_image(recipe: Recipe) -> str:
    """Return the name of the base image: from the environment, else the default."""
    return os.environ.get(recipe.variable) or default_base_image(recipe)


def default_base_image(recipe: Recipe) -> str:
    """Return the name of the base image in `.env`."""
    settings = dict(
        line.partition("=")[::2]
        for line in (_root() / ".env").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    return settings[recipe.variable].strip()


def digest(recipe: Recipe, base_id: str) -> str:
    """Return a digest of all that the image is built from.

    Args:
        recipe: The recipe; the content and the modes of its files count.
        base_id: Docker's id of the base image.
    """
    summary = hashlib.sha256(base_id.encode())
    for path in sorted(path for path in folder(recipe).rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        summary.update(
            f"{path.relative_to(folder(recipe))} {path.stat().st_mode & 0o777:o} {content}\n".encode()
        )
    return summary.hexdigest()[:12]


def tag(recipe: Recipe, base_id: str) -> str:
    """Return the name of the image.

    Args:
        recipe: The recipe of the image; the name of its folder is part of the name.
        base_id: Docker's id of the base image.
    """
    return f"testbed-{recipe.name}:{digest(recipe, base_id)}"


def url(backend: Backend, host: str, port: int) -> URL:
    """Return the URL of the database that the image contains.

    Args:
        backend: The kind of server.
        host: The address of the server.
        port: Its port at this address.
    """
    from sqlalchemy.engine import URL  # noqa: PLC0415 - imported by `Run.start`

    return URL.create(backend.drivername, USER, PASSWORD, host, port, DATABASE)


def can_make_engine() -> bool:
    """Return whether `make engine` works here.

    It needs this repository, root, and Debian's packages.
    """
    try:
        here = Path.cwd().is_relative_to(_PACKAGE.parent)
    except FileNotFoundError:  # The working directory was deleted.
        here = False
    return here and _in_source_tree() and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _in_source_tree() -> bool:
    source = _PACKAGE.parent
    return (source / "docker").is_dir() and (source / ".env").is_file()


def _root() -> Path:
    return _PACKAGE.parent if _in_source_tree() else _PACKAGE / "data"
