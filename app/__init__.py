"""A small ledger: the application under test, made by a factory."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

from . import api, cli, health, openapi, problems
from .database import init_engine
from .database.limits import limit_waits
from .database.replica import init_replica

DEFAULT_CONFIG = Path(__file__).with_name("config") / "sqlite.cfg"


def create_app(config: str | os.PathLike[str] | Mapping[str, Any] | None = None) -> Flask:
    """Create an app on the ``DATABASE_URI`` of its configuration. Nothing connects yet.

    Args:
        config: The path of a ``.cfg`` file, as for ``Config.from_pyfile``, or a mapping. By
            default the environment variable ``APP_CONFIG`` names the file; without it,
            ``app/config/sqlite.cfg`` is read.

    Returns:
        The app, which owns its engine.

    Raises:
        ValueError: ``DATABASE_URI`` is missing, or cannot be read.
        OSError: The file cannot be read.
    """
    app = Flask(__name__)
    if config is None:
        config = os.environ.get("APP_CONFIG") or DEFAULT_CONFIG
    if isinstance(config, (str, os.PathLike)):
        # from_pyfile resolves relative paths in the app's folder; users expect the working directory.
        app.config.from_pyfile(str(Path(config).absolute()))
    else:
        app.config.from_mapping(config)
    bind(app)
    for part in (problems, openapi, health, api, cli):
        part.init_app(app)
    return app


def bind(app: Flask) -> None:
    """Give ``app`` the engine that its configuration describes, and that of its replica.

    Args:
        app: The app; its keys that begin with ``DATABASE_`` are read. It owns the engine.

    Raises:
        ValueError: ``DATABASE_URI`` is missing, or cannot be read; or the file has no password.
        OSError: ``DATABASE_PASSWORD_FILE`` cannot be read.
    """
    if not app.config.get("DATABASE_URI"):
        message = 'The configuration has no DATABASE_URI. Set one, such as "sqlite:///ledger.db".'
        raise ValueError(message)
    options = {
        "password_file": app.config.get("DATABASE_PASSWORD_FILE"),
        "session_options": app.config.get("DATABASE_SESSION_OPTIONS"),
        **app.config.get("DATABASE_ENGINE_OPTIONS", {}),
    }
    engines = [init_engine(app.config["DATABASE_URI"], app=app, **options)]
    if uri := app.config.get("DATABASE_REPLICA_URI"):
        engines.append(init_replica(uri, app=app, **options))
    if seconds := app.config.get("DATABASE_WAIT_SECONDS"):
        for engine in engines:
            limit_waits(engine, seconds)
