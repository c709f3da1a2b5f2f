"""MySQL with charset=utf8, which is not UTF-8: it ends before the emoji."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import app
from app.database import db_session as session
from tests.specimens import CORRECTED, Specimen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

__all__ = ["SPECIMEN", "create_app", "session"]

SPECIMEN = Specimen(
    mistake="The connection speaks MySQL's utf8mb3: four-byte characters are refused or become `?`.",
    met="movim/movim#1042",
    caught_by=("portability.characters",),
    backends=("mysql",),
    why_not="Elsewhere UTF-8 is all of it.",
)


def create_app(config: Mapping[str, Any]) -> Flask:
    options = {} if CORRECTED else {"connect_args": {"charset": "utf8mb3"}}
    return app.create_app({**config, "DATABASE_ENGINE_OPTIONS": options})
