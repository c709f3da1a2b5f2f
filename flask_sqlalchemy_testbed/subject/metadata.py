"""Find the metadata of an app's own tables: named by the user, in an extension, or in a module."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import registry

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.binding import context_of
from flask_sqlalchemy_testbed.subject.binds import FIRST, further_engines
from flask_sqlalchemy_testbed.subject.discovery import find
from flask_sqlalchemy_testbed.subject.errors import NoSuchNameError, SubjectError
from flask_sqlalchemy_testbed.subject.models import module_with_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask import Flask

FIRST_ENGINE = ""
"""The key of the metadata whose tables are in the app's first database."""


def metadata_of(app: Flask, modules: Iterable[str], named: str = "") -> dict[str, list[MetaData]]:
    """Return the metadata of an app's tables, by the name of their engine; `FIRST_ENGINE` is the first's.

    Flask-SQLAlchemy and advanced-alchemy keep their metadata. For other apps it is that of the tables, the
    registries and the mapped classes that are globals of their modules. Metadata without tables is left out.

    Args:
        app: An app, made by the subject.
        modules: The names of the app's own modules.
        named: The metadata for the first database, as `module:attribute`; empty to look for it.

    Raises:
        SubjectError: `named` names no metadata, or one without tables.
    """
    found = _with_tables(_of_flask_sqlalchemy(app)) or _with_tables(_of_advanced_alchemy(app))
    found = found or _with_tables(_of_modules(app, modules))
    return _with_tables({**found, FIRST_ENGINE: [find_tables(named)]}) if named else found


def find_metadata(path: str) -> MetaData:
    """Return the metadata that `module:attribute` names, or that of the base class that it names.

    Args:
        path: The value of the option.

    Raises:
        SubjectError: It names no metadata.
    """
    module, _, attribute = path.partition(":")
    try:
        named = find(path, flag("metadata"))
    except NoSuchNameError as error:
        if hasattr(sys.modules.get(module), attribute.partition(".")[0]) or not (example := _example(path)):
            raise
        message = f"{error} Name one with the tables, such as {example}."
        raise NoSuchNameError(message) from error
    if (found := _metadata_in(named)) is None:
        message = f"{flag('metadata')} {path!r} is a {type(named).__name__}, not a MetaData. Name a MetaData."
        raise SubjectError(message)
    return found


def find_tables(path: str) -> MetaData:
    """Return the metadata that `module:attribute` names, when its models should have been imported.

    Args:
        path: The value of the option.

    Raises:
        SubjectError: It names no metadata, or one without tables.
    """
    found = find_metadata(path)
    if not found.tables:
        example = _example(path)
        such_as = f", such as {example}" if example else ""
        message = f"{path} has no tables: name the module that defines the models{such_as}."
        raise SubjectError(message)
    return found


def _example(path: str) -> str:
    """Return the path of the same attribute, or of Flask-SQLAlchemy's object, in a module with tables.

    Empty if no module of the project defines tables with it.
    """
    module, _, attribute = path.partition(":")
    if found := module_with_tables(module, attribute.partition(".")[0]):
        return f"{found}:{attribute}"
    for name, value in vars(sys.modules.get(module)).items() if module in sys.modules else ():
        if type(value).__module__.partition(".")[0] == "flask_sqlalchemy":
            found = module_with_tables(module, name) or (module if value.metadata.tables else "")
            return f"{found}:{name}.metadata" if found else ""
    return ""


def _with_tables(found: dict[str, list[MetaData]]) -> dict[str, list[MetaData]]:
    with_tables = {name: [one for one in several if one.tables] for name, several in found.items()}
    return {name: several for name, several in with_tables.items() if several}


def _of_flask_sqlalchemy(app: Flask) -> dict[str, list[MetaData]]:
    kept: Mapping[str | None, MetaData] = getattr(app.extensions.get("sqlalchemy"), "metadatas", {})
    return {name or FIRST_ENGINE: [metadata] for name, metadata in kept.items()}


def _of_advanced_alchemy(app: Flask) -> dict[str, list[MetaData]]:
    configurations = getattr(app.extensions.get("advanced_alchemy"), "config", ())
    return {_name(one.bind_key): [one.metadata] for one in configurations}


def _of_modules(app: Flask, modules: Iterable[str]) -> dict[str, list[MetaData]]:
    engine_names = _bound_by_session_options(app)
    found: dict[str, dict[int, MetaData]] = {}
    for module in sorted(modules):
        for value in list(vars(sys.modules.get(module, object)).values()):
            if (metadata := _metadata_in(value)) is not None:
                name = engine_names.get(id(metadata), FIRST_ENGINE)
                found.setdefault(name, {}).setdefault(id(metadata), metadata)
    return {name: list(several.values()) for name, several in found.items()}


def _metadata_in(value: Any) -> MetaData | None:
    """Return the metadata that an object is or has."""
    if isinstance(value, MetaData):
        return value
    if isinstance(value, (Table, registry)):
        return value.metadata
    found = getattr(value, "metadata", None) if isinstance(value, type) else None
    return found if isinstance(found, MetaData) else None


def _bound_by_session_options(app: Flask) -> dict[int, str]:
    """Return the name of the engine to which Flask-SQLAlchemy-Lite binds a whole base class, by metadata.

    The extension of several apps has the engine of its first app there: the only further one has its name.
    """
    extension: Any = app.extensions.get("sqlalchemy")
    found: dict[int, str] = {}
    if hasattr(type(extension), "sessionmaker"):
        further = further_engines(app)
        names = {id(engine): name for name, engine in further.items()}
        with context_of(app):
            binds = extension.sessionmaker.kw.get("binds") or {}
        for key, engine in binds.items():
            metadata = None if hasattr(key, "__table__") else _metadata_in(key)
            name = next(iter(further)) if len(further) == 1 else names.get(id(engine), FIRST_ENGINE)
            if metadata is not None:
                found[id(metadata)] = name
    return found


def _name(bind_key: str | None) -> str:
    return FIRST_ENGINE if bind_key in FIRST.values() else bind_key or FIRST_ENGINE
