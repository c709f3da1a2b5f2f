"""Give each further engine of the app under test a database in one check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.battery.own_tables import create_possible
from flask_sqlalchemy_testbed.plugin import state
from flask_sqlalchemy_testbed.subject.binds import further_engines

if TYPE_CHECKING:
    import pytest
    from flask import Flask

    from flask_sqlalchemy_testbed.databases import Database
    from flask_sqlalchemy_testbed.subject.app import AppMaker
    from flask_sqlalchemy_testbed.subject.subject import Subject


class Binds:
    """Hold the clean databases beside the first, on the server that all checks share.

    All are checked for leaks.
    """

    def __init__(self, request: pytest.FixtureRequest, subject: Subject) -> None:
        self.databases: dict[str, Database] = {}
        run = state.run_of(request.config)
        for number, name in enumerate(subject.binds, 1):
            isolation = run.isolation(request.getfixturevalue("testbed_server"), f"bind{number}")
            isolation.clean()
            run.probe.track(isolation.database)
            request.node.stash.setdefault(state.DATABASES, []).append(isolation.database)
            self.databases[name] = isolation.database
        self._without_tables = set(self.databases)

    @property
    def uris(self) -> dict[str, str]:
        """Return the URI of each database, by the name of its engine."""
        return {name: database.uri for name, database in self.databases.items()}

    def create_tables(self, app: Flask, maker: AppMaker) -> None:
        """Create the app's own tables in each database, once."""
        if self._without_tables:
            found = maker.metadata(app)
            for name in sorted(self._without_tables):
                create_possible(found.get(name, []), self.databases[name].uri)
            self._without_tables.clear()

    def dispose(self, app: Flask) -> None:
        """Close the pools of the further engines."""
        if self.databases:
            for engine in further_engines(app).values():
                engine.dispose()
