"""The databases that the harness knows: a module for each, and its entry here. Nothing else names them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.backends.base import Backend
from flask_sqlalchemy_testbed.backends.mysql import MYSQL
from flask_sqlalchemy_testbed.backends.postgresql import POSTGRESQL
from flask_sqlalchemy_testbed.backends.sqlite import SQLITE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BACKENDS", "Backend", "UnknownBackendError", "choose"]

BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {known.name: known for known in (SQLITE, POSTGRESQL, MYSQL)}
)


class UnknownBackendError(ValueError):
    """A name that is not in the registry."""


def choose(names: Iterable[str]) -> list[Backend]:
    """The backends of those names, each once, in the order given."""
    chosen = {}
    for name in names:
        if name not in BACKENDS:
            message = f"Unknown backend {name!r}. Choose from: {', '.join(BACKENDS)}."
            raise UnknownBackendError(message)
        chosen[name] = BACKENDS[name]
    return list(chosen.values())
