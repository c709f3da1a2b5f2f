"""Watch for rare statements, whose effects are searched for only after them."""

from __future__ import annotations

import contextlib
import re
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy.engine import Engine

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.timeline.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection as EngineConnection

    from flask_sqlalchemy_testbed.backends.base import SharedObject, SharedObjects
    from flask_sqlalchemy_testbed.databases import Database

# They change a definition, a comment, a privilege or a large object. Functions and blocks contain them too.
DEFINITION = (
    r"\b(CREATE|ALTER|DROP)\s|\b(IMPORT\s+FOREIGN|REASSIGN\s+OWNED|REFRESH\s+MATERIALIZED|COMMENT\s+ON|SECURITY\s+LABEL)\s"
    r"|\bGRANT\s.*\sTO\s|\bREVOKE\s.*\sFROM\s|\b(lo_\w+|lowrite)\s*\("
)
# One change may prevent that another is undone before it.
ROUNDS = 3


class Statements(Subscription):
    """Note the rare statements of a test, and the shared objects before the first.

    It sees the statements of all SQLAlchemy engines of this process, and none of other processes, of plain
    driver connections, or inside stored routines.
    """

    def __init__(self) -> None:
        self.definitions = 0
        """The number of statements so far that may have changed a definition."""
        self._database: Database | None = None
        self.seen: list[str] = []
        """The statements of the test that may have changed a shared object, with their parameters."""
        self._before: Sequence[SharedObjects] | None = None
        self._lock = threading.Lock()
        super().__init__([(Engine, "before_cursor_execute", self._sent)])

    def start(self, database: Database) -> None:
        """Begin a test; forget the statements of the test before.

        Args:
            database: The first database of the test, whose server is compared.
        """
        self._database, self.seen, self._before = database, [], None

    def changes(self) -> list[tuple[str, str]]:
        """Compare the shared objects with those before the test's first statement about one.

        Returns:
            A description of each change by this test, and the statements that undo it, each on its own
            line. An object counts only if a statement of the test named it: other runs may use the server.
        """
        if self._database is None or self._before is None:
            return []
        text = "\n".join(self.seen)
        found = []
        for before, now in zip(self._before, self._look(self._database), strict=True):
            # Without a kind's list before or after, nothing is known of it.
            if before is not None and now is not None:
                found += [
                    change for label in {**before, **now} for change in _change(before, now, label, text)
                ]
        return found

    def undo(self) -> None:
        """Undo the changes, as far as the server's user may."""
        for _ in range(ROUNDS):
            undo = [line for _, statements in self.changes() for line in statements.splitlines()]
            if not undo or self._database is None:
                return
            for statement in undo:
                with contextlib.suppress(Exception):
                    self._database.connection.rows(statement)

    def _sent(
        self, connection: EngineConnection, _: object, statement: str, parameters: object, *__: object
    ) -> None:
        if _matches(DEFINITION, statement):
            self.definitions += 1
        database = self._database
        if (
            database is not None
            and connection.dialect.name in database.backend.schemes
            and (pattern := database.backend.shared_statement)
            and _matches(pattern, statement)
        ):
            with self._lock:
                if self._before is None:
                    self._before = self._look(database)
                self.seen.append(f"{statement} {parameters}")

    @staticmethod
    def _look(database: Database) -> Sequence[SharedObjects]:
        """Use a connection of its own: the statement may be sent by any thread."""
        backend = database.backend
        connection = Connection(database.url, options=backend.connect_options, setup=backend.session_setup)
        with contextlib.closing(connection):
            return backend.shared(connection)


def _change(
    before: Mapping[str, SharedObject], now: Mapping[str, SharedObject], label: str, text: str
) -> Iterator[tuple[str, str]]:
    old, new = before.get(label), now.get(label)
    if old and new:
        change, undo = ("changed", old.restore) if old.definition != new.definition else ("", "")
    else:
        change, undo = ("removed", old.restore) if old else ("created", new.drop if new else "")
    known = new or old
    if change and known is not None:
        names = "|".join(map(re.escape, known.words.split()))
        if re.search(rf"(?<!\w)({names})(?!\w)", text, re.IGNORECASE):
            yield f"{known.label} was {change}", undo


@lru_cache(maxsize=1024)
def _matches(pattern: str, statement: str) -> bool:
    return re.search(pattern, statement, re.IGNORECASE | re.DOTALL) is not None
