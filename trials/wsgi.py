"""Mount the app of each backend in one process: ``/sqlite``, ``/postgresql``, ``/mysql`` and so on.

``create_app`` makes each with its own file of ``app/config``, so several engines are live at once. The page
at ``/`` tries them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from app import DEFAULT_CONFIG

from . import tape
from .access_log import RequestLog
from .failover.views import Failover
from .mounts import Mounted, mount, settings
from .page import Page

CONFIGS: Mapping[str, Any] = {path.stem: path for path in sorted(DEFAULT_CONFIG.parent.glob("*.cfg"))}
TRIAL_CONFIG = Path(__file__).with_name("trial.cfg")


def create_trial() -> WSGIApplication:
    """Mount the backends that ``TRIAL_BACKENDS`` names, by default SQLite alone.

    Nothing connects yet: a backend whose database is down answers 503 until the database is up. The page
    shows a backend whose name ends with ``?`` only after its database has answered once.
    ``PAIR_URI`` adds the page of the failover. ``TRIAL_CONFIG`` names a file with the settings of the
    trial; by default it is switched on.
    """
    names = [name.strip() for name in os.environ.get("TRIAL_BACKENDS", "sqlite").split(",")]
    optional = {name.removesuffix("?"): name.endswith("?") for name in names}
    for name in optional:
        if name not in CONFIGS:
            message = f"Unknown backend {name!r} in TRIAL_BACKENDS. Choose from: {', '.join(CONFIGS)}."
            raise ValueError(message)
    trials = settings(os.environ.get("TRIAL_CONFIG") or TRIAL_CONFIG).get("TRIALS") is True
    if trials:
        tape.listen()
    mounted = {
        name: mount(name, CONFIGS[name], trials=trials, is_optional=is_optional)
        for name, is_optional in optional.items()
    }
    return serve(mounted, trials=trials, failover=Failover.of(os.environ) if trials else None)


def serve(mounted: dict[str, Mounted], *, trials: bool, failover: Failover | None = None) -> WSGIApplication:
    """Return the WSGI app: the page, each backend below its name, and the app on the pair below ``/pair``."""
    front = Flask(__name__, static_folder="page/static", template_folder="page/templates")
    Page(mounted, trials=trials).init_app(front)
    front.jinja_env.globals.update(failover=failover is not None)
    apps = {name: each.app for name, each in mounted.items()}
    if failover:
        failover.init_app(front)
        apps["pair"] = failover.app
    front.wsgi_app = RequestLog(front.wsgi_app)  # type: ignore[method-assign] # as Flask documents it
    for name, app in apps.items():
        app.wsgi_app = RequestLog(app.wsgi_app, name)  # type: ignore[method-assign]

    @front.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return DispatcherMiddleware(front.wsgi_app, {f"/{name}": app.wsgi_app for name, app in apps.items()})
