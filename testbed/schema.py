"""The tables that are there before a test."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine

if TYPE_CHECKING:
    from collections.abc import Callable


def create_all(metadata: str) -> Callable[[str], None]:
    """What makes the tables of the metadata that `module:attribute.path` names in the database of a URI."""

    def create(uri: str) -> None:
        module, _, path = metadata.partition(":")
        found = importlib.import_module(module)
        for attribute in path.split("."):
            found = getattr(found, attribute)
        engine = create_engine(uri, poolclass=NullPool)
        found.create_all(engine)
        engine.dispose()

    return create
