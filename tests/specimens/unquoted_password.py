"""A URI put together of its parts, as configuration files and charts often have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import make_url

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The password is not quoted: p@ss/w is read as the password p on the host ss.",
    met="sqlalchemy/sqlalchemy#11027, testcontainers/testcontainers-python#547",
    caught_by=("binding.log-in",),
    backends=("postgresql", "mysql"),
    why_not="A file has no password.",
)

session = scoped()


def create_app(config: Mapping[str, Any]) -> Flask:
    url = make_url(config["DATABASE_URI"])
    user, password = url.username, url.password
    where = f"{url.host}:{url.port}/{url.database}"
    uri = url if CORRECTED or not url.host else f"{url.drivername}://{user}:{password}@{where}"
    app = make_app({"DATABASE_URI": uri})
    app.teardown_appcontext(lambda _: session.remove())
    return app
