"""One scenario on one backend: requests to the mounted app, and what is found to hold."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from .mounts import VIEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask
    from werkzeug.test import TestResponse

    from flask_sqlalchemy_testbed.databases import Database

    from .mounts import Mounted
    from .tape import Tape

# For whoever waits for another request: far more than any needs.
WITHIN = 20


@dataclass(frozen=True)
class Fact:
    """Something that was measured, in words, and whether it is as promised."""

    told: str
    holds: bool = True


@dataclass(frozen=True)
class Reply:
    """What the ledger answered."""

    status: str
    body: str
    good: bool


class Held:
    """A response whose body is read piece by piece, as slowly as its reader likes."""

    def __init__(self, app: Flask, environ: dict[str, Any]) -> None:
        body, status, _headers = run_wsgi_app(app, environ)
        self.status = int(status.partition(" ")[0])
        self._body = body
        self._chunks = iter(body)

    def read(self) -> str:
        """The next chunk."""
        return next(self._chunks).decode()

    def hang_up(self) -> None:
        """Close it before its end, as a server does whose client has gone."""
        self._body.close()  # type: ignore[attr-defined] # WSGI's own; every Flask response has it


class Stage:
    """What a scenario has in hand. Its requests are real ones, to the app as it is mounted."""

    def __init__(self, mounted: Mounted, scenario: str, tape: Tape, outside: Database) -> None:
        self.mounted = mounted
        self.outside = outside
        self.tape = tape
        self.facts: list[Fact] = []
        self.replies: list[Reply] = []
        self.tag = f"{scenario}-{secrets.token_hex(4)}"
        self._path = f"/trial/{scenario}"

    def fact(self, told: str, *, holds: bool = True) -> None:
        """State what was found, and whether it should be so."""
        self.facts.append(Fact(told, holds))

    def name(self, word: str) -> str:
        """A name for an entry that no other scenario has."""
        return f"{self.tag}/{word}"

    def ask(self, view: Callable[[], Any], *, expect: int = HTTPStatus.OK) -> TestResponse:
        """Make a request that this view answers, and state its status."""
        answer = self.request(self._path, environ_overrides={VIEW: view})
        self.fact(f"A request was answered {answer.status}", holds=answer.status_code == expect)
        return answer

    def request(self, path: str, method: str = "GET", **options: Any) -> TestResponse:
        """Make any request of the app, and read its answer to the end."""
        client, base_url = Client(self.mounted.app), f"http://localhost/{self.mounted.name}"
        return client.open(path, method=method, base_url=base_url, buffered=True, **options)

    def hold(self, view: Callable[[], Any]) -> Held:
        """Make a request that this view answers with a stream; nothing of that is read yet."""
        builder = EnvironBuilder(self._path, base_url=f"http://localhost/{self.mounted.name}")
        return Held(self.mounted.app, {**builder.get_environ(), VIEW: view})

    def at_once(self, *works: Callable[[], None]) -> None:
        """Do these in as many threads, and wait for all; the first error is raised."""
        with ThreadPoolExecutor(len(works)) as threads:
            for done in [threads.submit(self.tape.run, work) for work in works]:
                done.result(2 * WITHIN)

    def committed(self) -> list[str]:
        """The scenario's entries that others can see, asked past the app."""
        question = f"SELECT name FROM trial_entry WHERE name LIKE '{self.tag}/%' ORDER BY name"  # noqa: S608 - our own
        return [name.partition("/")[2] for (name,) in self.outside.connection.rows(question)]

    def stand_committed(self, words: Iterable[str]) -> None:
        """State which of the scenario's entries others can see, and that it should be these."""
        found, wanted = self.committed(), sorted(words)
        told = f"committed, asked past the app: {', '.join(found) or 'nothing'}"
        self.fact(told.capitalize(), holds=found == wanted)

    def change(self, statement: str) -> None:
        """Change something past the app, at once; `{}` is the tag."""
        self.outside.connection.rows(statement.format(self.tag))

    def sweep(self) -> None:
        """Remove the scenario's entries."""
        self.change("DELETE FROM trial_entry WHERE name LIKE '{}/%'")


def one() -> Any:
    """The smallest question."""
    return text("SELECT 1")
