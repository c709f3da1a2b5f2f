"""One process that mounts an app per backend: ``/sqlite``, ``/postgresql``, ``/mysql``.

Each is made by ``create_app`` with its own file of ``app/config``, so that several engines
live side by side, as the binding promises.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask import Flask, render_template_string
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from app import DEFAULT_CONFIG, create_app
from app.database import get_engine

from .tables import create_tables_on_first_contact

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

CONFIGS = {path.stem: path for path in sorted(DEFAULT_CONFIG.parent.glob("*.cfg"))}

INDEX = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Ledger</title>
<h1>Ledger</h1>
{% for name in names %}
<h2>{{ name }}</h2>
<ul>
  <li><a href="{{ name }}/readyz">Is the database there?</a></li>
  <li><a href="{{ name }}/api/accounts">Accounts</a></li>
  <li><a href="{{ name }}/api/transfers">Transfers</a></li>
  <li><a href="{{ name }}/openapi.json">What else can be asked</a></li>
</ul>
{% endfor %}
</html>
"""


def create_trial() -> WSGIApplication:
    """Mount the backends that ``TRIAL_BACKENDS`` names, by default SQLite alone.

    Nothing connects yet: a backend whose database is down answers 503 until it is there.
    """
    names = [name.strip() for name in os.environ.get("TRIAL_BACKENDS", "sqlite").split(",")]
    mounts = {f"/{name}": _backend(name) for name in names}
    return DispatcherMiddleware(_front(names).wsgi_app, mounts)


def _backend(name: str) -> WSGIApplication:
    if name not in CONFIGS:
        message = f"Unknown backend {name!r} in TRIAL_BACKENDS. Choose from: {', '.join(CONFIGS)}."
        raise ValueError(message)
    app = create_app(CONFIGS[name])
    with app.app_context():
        create_tables_on_first_contact(get_engine())
    return app


def _front(names: list[str]) -> Flask:
    front = Flask(__name__)

    @front.get("/")
    def index() -> tuple[str, dict[str, str]]:
        return render_template_string(INDEX, names=names), {"Content-Security-Policy": "default-src 'none'"}

    @front.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return front
