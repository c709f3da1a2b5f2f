"""Register the databases that the harness supports.

Each has a module and an entry here; there is no other list of them.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.mariadb import MARIADB
from flask_sqlalchemy_testbed.backends.mysql import MYSQL
from flask_sqlalchemy_testbed.backends.postgresql import POSTGRESQL
from flask_sqlalchemy_testbed.backends.sqlite import SQLITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BACKENDS", "Backend", "UnknownBackendError", "choose"]

BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {known.name: known for known in (SQLITE, POSTGRESQL, MYSQL, MARIADB)}
)


class UnknownBackendError(ValueError):
    """The name of a backend that the harness does not support."""


def choose(names: Iterable[str]) -> list[Backend]:
    """Return the backends with these names, each once, in the given order.

    Args:
        names: Names of backends; a repeated name counts once.

    Raises:
        UnknownBackendError: A name is unknown; the message lists the known ones.
    """
    chosen = {}
    for name in names:
        if name not in BACKENDS:
            message = f"Unknown backend {name!r}. Choose from: {', '.join(BACKENDS)}."
            raise UnknownBackendError(message)
        chosen[name] = BACKENDS[name]
    return list(chosen.values())
