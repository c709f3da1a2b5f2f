"""The libraries that bind SQLAlchemy to Flask, and how each spells a change."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Library:
    """A way to make the engine and the session of an app."""

    name: str
    """As `docs/conformance.md` and its distribution write it; empty for SQLAlchemy alone."""
    module: str = ""
    makers: tuple[str, ...] = ()
    """The classes that get the options of the engine; the last one's object holds the session."""
    session: str = "MAKER"
    """The expression for the session; `MAKER` stands for the variable of the maker's object."""
    end: str = field(default="SESSION.remove()", kw_only=True)
    """The call that ends `SESSION`."""
    engine: str = "engine"
    option: str = "NAME=VALUE to create_engine()"
    """The words for an option of the engine, with `NAME` and `VALUE`."""
    after_engine: str = field(default="", kw_only=True)
    """The place of lines that use the engine and `APP`, to begin a sentence; empty after its making."""
    takes_uri: str = field(default="", kw_only=True)
    """The call that gets the URI as a text; empty if the library completes paths, or takes a URL."""
    fails: tuple[str, ...] = field(default=(), kw_only=True)
    """The checks that the library fails by itself, though no product's default fails them."""


_OPTIONS = 'engine_options={"NAME": VALUE} to'
_IN_CONTEXT = (
    "Directly after the library gets APP, such as by init_app(), in a block `with APP.app_context():`"
    " (one block for all changes with this place; imports at the top of the module)"
)
NO_LIBRARY = Library("")
_ALL = (
    Library(
        "Flask-SQLAlchemy",
        "flask_sqlalchemy",
        ("SQLAlchemy",),
        "MAKER.session",
        "MAKER.engine",
        f"{_OPTIONS} SQLAlchemy()",
        after_engine=_IN_CONTEXT,
        fails=("lifecycle.later-context",),
    ),
    Library(
        "Flask-SQLAlchemy-Lite",
        "flask_sqlalchemy_lite",
        ("SQLAlchemy",),
        "MAKER.session",
        "MAKER.engine",
        f"{_OPTIONS} SQLAlchemy()",
        after_engine=_IN_CONTEXT,
        end="SESSION.close()",
    ),
    Library(
        "advanced-alchemy",
        "advanced_alchemy",
        ("SQLAlchemySyncConfig", "AdvancedAlchemy"),
        "MAKER.get_sync_session()",
        "MAKER.config[0].get_engine()",
        "engine_config=EngineConfig(NAME=VALUE) to SQLAlchemySyncConfig()",
        after_engine=_IN_CONTEXT,
        takes_uri="SQLAlchemySyncConfig()",
        end="SESSION.close()",
    ),
    Library(
        "alchemical",
        "alchemical",
        ("Alchemical",),
        "MAKER.session",
        "MAKER.get_engine()",
        f"{_OPTIONS} Alchemical()",
        after_engine=_IN_CONTEXT,
        takes_uri="init_app() as ALCHEMICAL_DATABASE_URL",
        end="SESSION.close()",
    ),
)
LIBRARIES: Mapping[str, Library] = MappingProxyType({library.name: library for library in _ALL})
