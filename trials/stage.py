"""Give a scenario requests to the app of one backend, and collect the facts that it states."""

import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask
from sqlalchemy import text
from werkzeug.test import Client, EnvironBuilder, TestResponse, run_wsgi_app

from flask_sqlalchemy_testbed.databases import Database

from .mounts import VIEW, Mounted
from .tape import Tape

# Seconds to wait for another request; far more than any needs.
WITHIN = 20


@dataclass(frozen=True)
class Fact:
    """A measured fact, and whether it is as promised."""

    text: str
    holds: bool = True


@dataclass(frozen=True)
class Reply:
    """A response of the ledger."""

    status: str
    body: str
    good: bool


class Held:
    """A response whose body is read chunk by chunk."""

    def __init__(self, app: Flask, environ: dict[str, Any]) -> None:
        body, status, _headers = run_wsgi_app(app, environ)
        self.status = int(status.partition(" ")[0])
        self._body = body
        self._chunks = iter(body)

    def read(self) -> str:
        """Return the next chunk."""
        return next(self._chunks).decode()

    def hang_up(self) -> None:
        """Close the body before its end, as a server does when the client is gone."""
        self._body.close()  # type: ignore[attr-defined] # every Flask response has it


class Stage:
    """The tools of a scenario. Its requests go through the WSGI app as it is mounted."""

    def __init__(self, mounted: Mounted, scenario: str, tape: Tape, outside: Database) -> None:
        self.mounted = mounted
        self.outside = outside
        self.tape = tape
        self.facts: list[Fact] = []
        self.replies: list[Reply] = []
        self.tag = f"{scenario}-{secrets.token_hex(4)}"
        self._path = f"/trial/{scenario}"

    def fact(self, text: str, *, holds: bool = True) -> None:
        """State a fact, and whether it is as promised."""
        self.facts.append(Fact(text, holds))

    def name(self, word: str) -> str:
        """Return a name for an entry that no other run of a scenario has."""
        return f"{self.tag}/{word}"

    def ask(self, view: Callable[[], Any], *, expect: int = HTTPStatus.OK) -> TestResponse:
        """Make a request that `view` answers, and state its status as a fact."""
        answer = self.request(self._path, environ_overrides={VIEW: view})
        self.fact(f"A request was answered {answer.status}", holds=answer.status_code == expect)
        return answer

    def request(self, path: str, method: str = "GET", **options: Any) -> TestResponse:
        """Make a request to the app, and read its response to the end."""
        client, base_url = Client(self.mounted.app), f"http://localhost/{self.mounted.name}"
        return client.open(path, method=method, base_url=base_url, buffered=True, **options)

    def hold(self, view: Callable[[], Any]) -> Held:
        """Make a request that `view` answers with a stream, and read nothing of it yet."""
        builder = EnvironBuilder(self._path, base_url=f"http://localhost/{self.mounted.name}")
        return Held(self.mounted.app, {**builder.get_environ(), VIEW: view})

    def at_once(self, *works: Callable[[], None]) -> None:
        """Run each function in a thread, and wait for all; raise the first error."""
        with ThreadPoolExecutor(len(works)) as threads:
            for done in [threads.submit(self.tape.run, work) for work in works]:
                done.result(2 * WITHIN)

    def committed(self) -> list[str]:
        """Return the committed entries of the scenario, read outside the app."""
        question = f"SELECT name FROM trial_entry WHERE name LIKE '{self.tag}/%' ORDER BY name"  # noqa: S608 - the tag is our own
        return [name.partition("/")[2] for (name,) in self.outside.connection.rows(question)]

    def expect_committed(self, words: Iterable[str]) -> None:
        """State which entries of the scenario are committed, and that it should be these."""
        found, wanted = self.committed(), sorted(words)
        text = f"Committed rows, read outside the app: {', '.join(found) or 'none'}"
        self.fact(text, holds=found == wanted)

    def change(self, statement: str) -> None:
        """Execute a statement outside the app, in autocommit; `{}` stands for the tag."""
        self.outside.connection.rows(statement.format(self.tag))

    def sweep(self) -> None:
        """Delete the entries of the scenario."""
        self.change("DELETE FROM trial_entry WHERE name LIKE '{}/%'")


def one() -> Any:
    """Return the smallest statement."""
    return text("SELECT 1")
