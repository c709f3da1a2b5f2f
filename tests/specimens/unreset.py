"""Connections go back to the pool as they are: the rollback on each return was saved, "it is wasted"."""

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
    mistake="The pool does not reset what comes back, so the next user is in the middle of a transaction.",
    met="https://docs.sqlalchemy.org/en/20/core/pooling.html#disabling-reset-on-return-for-non-transactional-connections",
    caught_by=("transactions.raw-connection-is-reset",),
)


def create_app(config: Mapping[str, Any]) -> Flask:
    options = {} if CORRECTED else {"pool_reset_on_return": None}
    return app.create_app({**config, "DATABASE_ENGINE_OPTIONS": options})
