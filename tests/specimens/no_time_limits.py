"""Drivers as they come: they wait for an answer for as long as the network keeps silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, new_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="Nothing bounds the wait for an answer, so the ping that should save the request hangs itself.",
    met="mozilla-ai/clawbolt#1138, SolaceLabs/solace-agent-mesh#1533",
    caught_by=("faults.half-open", "faults.paused"),
    backends=("postgresql", "mysql"),
    why_not="SQLite has no network to be cut.",
)

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        app.extensions["engine"] = create_engine(config["DATABASE_URI"], pool_pre_ping=True)
    app.teardown_appcontext(lambda _: session.remove())
    return app
