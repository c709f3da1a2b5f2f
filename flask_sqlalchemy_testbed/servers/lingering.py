"""Name and describe the containers of servers that linger after their run.

The first process of such a container, `linger.sh`, ends the server when no client was connected for the time,
and the engine then removes the container: no process of this machine has to survive the run. The container's
name contains its user and its kind. The engine gives a name once, so one server of a kind lingers at a time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.backends.base import Recipe

SCRIPT = Path(__file__).with_name("linger.sh")
# The seconds of `--linger forever`; 68 years are the most that every shell can count.
FOREVER = 2**31 - 1
# Of the names: containers of other users are left alone.
PREFIX = f"testbed-linger-{getattr(os, 'getuid', int)()}-"  # Windows has no numbers of users.


def name_of(recipe: Recipe, tag: str, flags: Sequence[str], seconds: int) -> str:
    """Return the name of the container in which a server of this kind lingers.

    Args:
        recipe: The recipe of the server.
        tag: The name of the image.
        flags: The arguments of the server after those of the recipe.
        seconds: The time for which it lingers.
    """
    kind = (tag, recipe.command, tuple(flags), recipe.memory, seconds, SCRIPT.read_text(encoding="utf-8"))
    return f"{PREFIX}{recipe.name}-{hashlib.sha256(repr(kind).encode()).hexdigest()[:12]}"


def entrypoint(seconds: int, port: int, of_image: Sequence[str]) -> list[str]:
    """Return the entrypoint of a container whose server lingers.

    Args:
        seconds: The time without a client after which the server ends.
        port: The server's port in the container.
        of_image: The entrypoint of the image.
    """
    return ["sh", "-c", SCRIPT.read_text(encoding="utf-8"), "linger", str(seconds), str(port), *of_image]
