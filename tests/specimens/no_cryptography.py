"""PyMySQL without its extra [rsa], which works for as long as the server remembers the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymysql._auth

from tests.specimens import CORRECTED, Specimen
from tests.specimens.plain import make_app, scoped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

SPECIMEN = Specimen(
    mistake="The first log-in of a user, without TLS, needs the package cryptography.",
    met="PyMySQL/PyMySQL#768",
    caught_by=("binding.log-in",),
    backends=("mysql",),
    why_not="The others hash passwords by other means.",
)

session = scoped()
if not CORRECTED:
    # As it is where the package is not installed.
    pymysql._auth._have_cryptography = False  # type: ignore[attr-defined] # noqa: SLF001


def create_app(config: Mapping[str, Any]) -> Flask:
    app = make_app(config)
    app.teardown_appcontext(lambda _: session.remove())
    return app
