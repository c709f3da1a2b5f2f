"""A small ledger: the factory-based application under test."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask

from . import api, cli, health, openapi, problems
from .database import init_engine
from .engines import bound_psycopg2_waits, database_url

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CONFIG = Path(__file__).with_name("config") / "sqlite.cfg"


def create_app(config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Flask:
    """Make an app bound to the ``DATABASE_URI`` of its configuration; nothing connects yet.

    ``config`` is the path of a ``.cfg`` file (``Config.from_pyfile``) or a mapping. Without
    it, ``APP_CONFIG`` in the environment names the file, else it is ``app/config/sqlite.cfg``.
    """
    app = Flask(__name__)
    if config is None:
        config = os.environ.get("APP_CONFIG") or DEFAULT_CONFIG
    if isinstance(config, (str, os.PathLike)):
        # from_pyfile would look beside the app; a path on a command line means the working directory.
        app.config.from_pyfile(str(Path(config).absolute()))
    else:
        app.config.from_mapping(config)
    bind(app)
    for part in (problems, openapi, health, api, cli):
        part.init_app(app)
    return app


def bind(app: Flask) -> None:
    """Give ``app`` the engine that its configuration describes."""
    if not app.config.get("DATABASE_URI"):
        message = 'The configuration has no DATABASE_URI. Set one, such as "sqlite:///ledger.db".'
        raise ValueError(message)
    if seconds := app.config.get("DATABASE_WAIT_SECONDS"):
        bound_psycopg2_waits(seconds)
    init_engine(
        database_url(
            app.config["DATABASE_URI"],
            directory=app.instance_path,
            password_file=app.config.get("DATABASE_PASSWORD_FILE"),
        ),
        app=app,
        session_options=app.config.get("DATABASE_SESSION_OPTIONS"),
        **app.config.get("DATABASE_ENGINE_OPTIONS", {}),
    )
