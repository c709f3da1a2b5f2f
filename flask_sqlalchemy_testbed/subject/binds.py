"""Find the further databases of an app.

They are binds of Flask-SQLAlchemy, or engines of Flask-SQLAlchemy-Lite.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flask_sqlalchemy_testbed.subject.binding import context_of, is_in_memory, is_same_database
from flask_sqlalchemy_testbed.subject.errors import BindElsewhereError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask
    from sqlalchemy.engine import Engine

    from flask_sqlalchemy_testbed.subject.subject import Subject

# The configuration keys of the extensions; Flask-SQLAlchemy adds the first if it is missing.
BINDS, ENGINES = "SQLALCHEMY_BINDS", "SQLALCHEMY_ENGINES"
# The name of the first engine.
FIRST = {BINDS: None, ENGINES: "default"}


def may_hide_engines(app: Flask, configuration: Mapping[str, Any]) -> bool:
    """Return whether a configuration may have replaced a mapping with more engines.

    Args:
        app: an app that was made with the configuration.
        configuration: the configuration.
    """
    has_engines = hasattr(type(app.extensions.get("sqlalchemy")), "engines")
    return (
        has_engines
        and _key_of(app) == ENGINES
        and ENGINES in configuration
        and app.config.get(ENGINES) == configuration[ENGINES]
    )


def configured_binds(app: Flask, uri: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the configuration key of the further engines, and the options of each.

    Engines on the database of `uri`, and those in memory, need no database of their own and are left out.

    Args:
        app: an app, which need not be complete.
        uri: the database that the app was given.
    """
    for key, first in FIRST.items():
        found = {}
        configured = app.config.get(key)
        for name, value in configured.items() if isinstance(configured, dict) else ():
            options = dict(value) if isinstance(value, dict) else {"url": value}
            with contextlib.suppress(ArgumentError):  # The extension refuses it, too.
                url = options.pop("url", "")
                url = URL.create(**url) if isinstance(url, dict) else make_url(url)
                if name != first and not is_in_memory(url) and not is_same_database(make_url(uri), url):
                    found[name] = {option: value for option, value in options.items() if _is_plain(value)}
        if found:
            return key, found
    return "", {}


def check_binds(subject: Subject, app: Flask, binds: Mapping[str, str], *, otherwise: str = "") -> None:
    """Check that each further engine of the app is on the database that was chosen for it.

    Args:
        subject: the app in words, for the message.
        app: an app of the subject.
        binds: the URI of each bind, by its name.
        otherwise: the URI for other binds; empty if they do not matter.

    Raises:
        BindElsewhereError: an engine is on another database.
    """
    for name, engine in further_engines(app).items():
        wanted = binds.get(name, otherwise)
        if wanted and not is_in_memory(engine.url) and not is_same_database(make_url(wanted), engine.url):
            remedy = f"have the app take {_key_of(app)} from the configuration that it is given"
            if subject.is_for_the_testbed:
                remedy = "put it on the database of the given URI too, or on sqlite://"
            message = (
                f"{subject} has a further engine {name!r} on {engine.url.render_as_string()}, which is not a"
                f" database of this run: {remedy}."
            )
            raise BindElsewhereError(message)


def further_engines(app: Flask) -> dict[str, Engine]:
    """Return the engines that the app's extension has beside the first, by name.

    Args:
        app: an app of the subject.
    """
    with context_of(app):
        engines = getattr(app.extensions.get("sqlalchemy"), "engines", None)
        found = dict(engines) if engines else {}
    return {name: engine for name, engine in found.items() if name != FIRST[_key_of(app)]}


def _key_of(app: Flask) -> str:
    """Return the configuration key of the app's extension."""
    return BINDS if BINDS in app.config else ENGINES


def _is_plain(value: object) -> bool:
    """Return whether another process can receive the value."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False
