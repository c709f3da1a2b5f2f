"""The app under test as plain values: where it is, how it is made, and where its session is."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from flask import current_app
from sqlalchemy import make_url

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.configurations import named_class, values_of, write_file
from flask_sqlalchemy_testbed.subject.discovery import find
from flask_sqlalchemy_testbed.subject.drivers import with_driver
from flask_sqlalchemy_testbed.subject.errors import ReadingError, SubjectError
from flask_sqlalchemy_testbed.subject.factories import FOR_THE_TESTBED
from flask_sqlalchemy_testbed.subject.lookups import CLASS, FILE, URI, value_of
from flask_sqlalchemy_testbed.subject.sessions import extension_session, name_a_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_sqlalchemy_testbed.subject.process_state import Environment

# Where apps look for the URI. If the user names no place, each of these gets it.
URI_KEYS = (
    *("DATABASE_URI", "DATABASE_URL", "SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_ENGINES.default"),
    "ALCHEMICAL_DATABASE_URL",
)
URI_VARIABLES = (
    *("DATABASE_URL", "DATABASE_URI", "SQLALCHEMY_DATABASE_URI"),
    # `app.config.from_prefixed_env` reads these.
    *("FLASK_DATABASE_URI", "FLASK_SQLALCHEMY_DATABASE_URI", "FLASK_SQLALCHEMY_ENGINES__default"),
)


class Apps(StrEnum):
    """How many apps of a subject one process can make."""

    SEVERAL = "several"
    """Several apps, which may exist at the same time on different databases."""
    ONE_AT_A_TIME = "one at a time"
    """One app; its modules are imported again before the next one is made."""
    ONE_PER_PROCESS = "one per process"
    """One app, until the process ends."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An app and its session, by name.

    `app.AppMaker` makes apps of it, in this process or another.
    """

    app_path: str
    """As the user could have written it: `module:factory`, or the call `module:factory('testing')`."""
    folder: str = ""
    """The folder to import the app from, if not every process of the run would find its module."""
    session_path: str = ""
    """Empty where an extension keeps the session."""
    session_is_callable: bool = False
    """The path names a callable that returns the session."""
    engine_at: str = ""
    """The line that made the session's engine, as `file:line`; empty if unknown."""
    metadata_path: str = ""
    """The metadata of the app's tables as `module:attribute`; empty to look for it in each app."""
    uri_key: str = ""
    """The configuration key of the URI, with dots into nested mappings; empty for all of `URI_KEYS`."""
    uri_env: str = ""
    """The environment variable of the URI; empty for all of `URI_VARIABLES`."""
    variable_parts: Mapping[str, str] = field(default_factory=dict)
    """The variables that were found to hold the URI, or a part of it, or to name a configuration file."""
    config: str = ""
    """The file with the other values of the configuration; a full path, or empty."""
    drivers: Mapping[str, str] = field(default_factory=dict)
    """The driver that the app is to use, by backend."""
    binds_key: str = ""
    """The configuration key of the further engines."""
    binds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The options of each further engine that needs a database of the run, by its name."""
    apps: Apps = Apps.SEVERAL
    """How many apps one process can make."""
    why_not_several: str = ""
    """Why it is not several: a clause that completes "not applicable (...)"."""
    factory_call: str = ""
    """The name of a `FactoryCall`."""
    by_environment: bool = False
    """The app reads the URI from environment variables, perhaps when it is imported."""
    roots: tuple[str, ...] = ()
    """The modules of the factory and of the session."""
    modules: tuple[str, ...] = ()
    """All imported modules of the app's project."""
    imports_once: bool = False
    """The modules cannot be imported a second time."""
    notes: tuple[str, ...] = ()
    """The findings that the user did not name, in words."""

    def __str__(self) -> str:
        return f"{flag('app')} {self.app_path!r}"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Subject:
        """Return the subject that `as_dict` turned into plain values.

        Args:
            values: The result of `as_dict`, perhaps read from JSON.
        """
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**{**plain, "apps": Apps(values["apps"])})

    def as_dict(self) -> dict[str, Any]:
        """Return the subject as plain values, for another process."""
        return {**asdict(self), "apps": self.apps.value}

    @property
    def makes_several_apps(self) -> bool:
        """Return whether apps on different databases can exist at the same time in one process."""
        return self.apps is Apps.SEVERAL

    @property
    def session(self) -> Any:
        """Return the session as the app's own code sees it, looked up at each use.

        Raises:
            SubjectError: the session does not exist, or no longer exists.
            Exception: the app refuses its session here, such as outside a context.
        """
        if self.session_path:
            try:
                found = find(self.session_path, flag("session"))
            except ReadingError as error:
                raise error.__cause__ or error from None
            return found() if self.session_is_callable else found
        kept = extension_session(current_app)
        if kept is None:
            message = f"{self} keeps no session in app.extensions. {name_a_session()}"
            raise SubjectError(message)
        return kept[1]

    def beside_session(self, name: str) -> Any:
        """Return an object of that name in the session's own module.

        Args:
            name: The name of the object.

        Raises:
            SubjectError: the module has no such object.
        """
        return find(f"{self.session_path.partition(':')[0]}:{name}", flag("session"))

    def uri(self, uri: str) -> str:
        """Return a URI as the app gets it: with the driver that the user chose for its backend.

        Args:
            uri: The URI of a database of the run.
        """
        return with_driver(uri, self.drivers)

    def configuration(self, uri: str, binds: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return the configuration that puts an app on the database of `uri`.

        It has the values of the user's configuration file, too.

        Args:
            uri: The URI of a database of the run.
            binds: The URI for each of the subject's binds that gets one, by its name.
        """
        configuration = values_of(self.config) if self.config else {}
        for key in self.keys:
            inner = configuration
            *path, last = key.split(".")
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = self.uri(uri)
        for name, bind in (binds or {}).items():
            options = self.binds[name]
            configuration.setdefault(self.binds_key, {})[name] = {"url": bind, **options} if options else bind
        return configuration

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the configuration keys that hold the URI."""
        return (self.uri_key,) if self.uri_key else URI_KEYS

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the environment variables that hold the URI or its parts."""
        return (self.uri_env,) if self.uri_env else tuple(self.variable_parts) or URI_VARIABLES

    @property
    def is_for_the_testbed(self) -> bool:
        """Return whether the user wrote the function for the testbed: its only parameter is the URI."""
        return self.factory_call == FOR_THE_TESTBED

    def environment(self, uri: str, binds: Mapping[str, str], files: Environment) -> dict[str, str]:
        """Return the environment variables that put an app on the database of `uri`, with their values.

        Args:
            uri: The URI of a database of the run.
            binds: The URI for each of the subject's binds that gets one, by its name.
            files: It has the folder in which configuration files are written.
        """
        uri = self.uri(uri)
        # `app.config.from_prefixed_env` reads the variable of a bind.
        values = {f"FLASK_{self.binds_key}__{name}": bind for name, bind in binds.items()}
        parts = {} if self.uri_env else self.variable_parts
        for name in self.variables:
            part = parts.get(name, URI)
            if part == FILE:
                base = os.environ.get(name) or self.config
                values[name] = str(write_file(base, self.configuration(uri, binds), files.folder / name))
            elif part == CLASS:
                values[name] = named_class(os.environ.get(name, ""), self.configuration(uri, binds))
            else:
                values[name] = value_of(part, make_url(uri), parts.values()) if part != URI else uri
        return values

    @property
    def where_the_uri_is(self) -> str:
        """Return the place in which the app was given the URI, for messages."""
        if self.is_for_the_testbed or self.factory_call.endswith("="):
            return f"in its parameter {self.factory_call.removesuffix('=')}"
        return f"in {one_of(self.variables)}" if self.by_environment else f"under {one_of(self.keys)}"


def one_of(names: tuple[str, ...]) -> str:
    """Return names as words of a sentence."""
    return names[0] if len(names) == 1 else f"any of {', '.join(names)}"
