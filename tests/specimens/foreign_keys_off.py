"""Foreign keys are not checked: SQLite is left as it comes, MySQL was told so for an import, once."""

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
    mistake="The connections do not check foreign keys.",
    met="NorthlandPositronics/Cogtrix#2201",
    caught_by=("portability.foreign-keys", "portability.cascade"),
    backends=("sqlite", "mysql"),
    why_not="Only a superuser can switch off foreign keys on PostgreSQL.",
)
OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "mysql": {"connect_args": {"init_command": "SET foreign_key_checks = 0"}},
}

session = scoped_session(new_session)


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    if not CORRECTED:
        url = app.extensions["engine"].url
        app.extensions["engine"] = create_engine(url, **OPTIONS.get(url.get_backend_name(), {}))
    app.teardown_appcontext(lambda _: session.remove())
    return app
