"""Resolve the app of a project and use the result, as a run does."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import text

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import engine_of
from flask_sqlalchemy_testbed.subject.guard import allow_file
from flask_sqlalchemy_testbed.subject.resolve import AppOptions, resolve
from flask_sqlalchemy_testbed.subject.subject import Subject

# Writes a module of a project; a fixture.
Write = Callable[..., None]


def resolved(uri: str, app: str = "", session: str = "", **options: str) -> Subject:
    second = f"{uri.removesuffix('.db')}_second.db"
    allow_file(second.removeprefix("sqlite:///"))
    given = replace(AppOptions(app, session), **options)  # type: ignore[arg-type] # all are texts
    return resolve(given, uri, second)


def works_on(subject: Subject, *uris: str) -> bool:
    """Return whether apps of the subject, received as text, work on each URI.

    Each app is made as another process would make it.
    """
    received = Subject.from_dict(json.loads(json.dumps(subject.as_dict())))
    assert received == subject
    answers = []
    for uri in uris:
        with contextlib.closing(AppMaker(received)) as maker:
            maker.start(uri)
            app = maker.make(uri)
            with app.app_context():
                answers.append(received.session.scalar(text("SELECT 1")))
                received.session.close()
            engine_of(received, app).dispose()
    return answers == [1] * len(uris)
