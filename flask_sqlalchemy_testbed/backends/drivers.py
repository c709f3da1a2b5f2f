"""DBAPI drivers: which ones the harness can use for a database, and how to install one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec


class MissingDriverError(ImportError):
    """No driver for a database is installed; the message is one line that ends with the remedy."""


@dataclass(frozen=True, slots=True)
class Driver:
    """A DBAPI driver."""

    name: str
    """The name of its module, which is also SQLAlchemy's name for it."""
    package: str
    """The package that pip installs."""

    @property
    def is_installed(self) -> bool:
        """Return whether the driver can be imported."""
        return find_spec(self.name) is not None
