"""Run the app's migrations in a process of their own, which their env.py may change as it likes.

`migrate` starts the process; `main` is the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from flask_sqlalchemy_testbed.battery.dropped_indexes import REFUSED, lines_to_delete
from flask_sqlalchemy_testbed.battery.own_tables import (
    OwnTablesError,
    check_columns,
    first_line,
    lacking,
    remedy_for,
)
from flask_sqlalchemy_testbed.servers.processes import end_with
from flask_sqlalchemy_testbed.subject import guard
from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import context_of, engine_of
from flask_sqlalchemy_testbed.subject.discovery import INSTALLED
from flask_sqlalchemy_testbed.subject.metadata import FIRST_ENGINE
from flask_sqlalchemy_testbed.subject.process_state import Environment
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES, Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask
    from sqlalchemy import MetaData
    from sqlalchemy.engine import Engine

VARIABLE = "TESTBED_MIGRATED"
VERSIONS = "table alembic_version"
# The lines of its output that the evidence keeps.
MOST_LINES = 20
# Its files are named relative to this folder; an alembic.ini has its own working directory.
STARTED_IN = Path.cwd()


@dataclass(slots=True)
class Migrated:
    """The outcome of the app's migrations, each part in one sentence."""

    failure: str = ""
    note: str = ""
    """The reason why a downgrade failed; a downgrade is optional, so this is no failure."""
    not_applicable: str = ""
    """Why the migrations could not be tried."""
    output: str = field(default="", repr=False)


def migrate(
    subject: Subject, databases: Mapping[str, str], place: Path, result: Path, within: float
) -> Migrated:
    """Run `upgrade`, `check`, `downgrade base` and `upgrade` on an empty database.

    Args:
        subject: The app.
        databases: The URI of an empty database for each engine of the app, by its name.
        place: The result of `place_of`.
        result: A file that the process writes.
        within: The time limit in seconds; 0 sets none.
    """
    settings = {
        "subject": subject.as_dict(),
        "databases": dict(databases),
        "place": str(place),
        "result": str(result),
        "parent": os.getpid(),
    }
    try:
        ran = subprocess.run(
            [sys.executable, "-m", __name__],
            env={**os.environ, **guard.environment(), VARIABLE: json.dumps(settings)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within or None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Migrated(failure=f"the migrations did not end within {within:g} s")
    output = "\n".join(ran.stdout.strip().splitlines()[-MOST_LINES:])
    if not result.exists():
        return Migrated(failure=f"the migrations ended with status {ran.returncode}", output=output)
    return Migrated(**{**json.loads(result.read_text(encoding="utf-8")), "output": output})


def place_of(app: Flask) -> Path | None:
    """Return the folder of Flask-Migrate or the alembic.ini of an app; None if it has no migrations.

    An alembic.ini in the folder of all installed packages is left out: it may be of any of them.

    Args:
        app: The app; the paths of Flask-Migrate are those of the working directory.
    """
    folders = [Path.cwd(), Path(app.root_path), Path(app.root_path).parent]
    if directory := getattr(app.extensions.get("migrate"), "directory", ""):
        places = [Path(folder, directory) for folder in folders]
        return next((place for place in places if (place / "env.py").exists()), None)
    inis = [folder / "alembic.ini" for folder in folders if folder.name not in INSTALLED]
    return next((ini for ini in inis if ini.exists()), None)


def main() -> None:
    """Run the migrations of the app that the environment describes, and write the outcome."""
    settings = json.loads(os.environ[VARIABLE])
    end_with(settings["parent"])
    guard.inherit()
    refusals = guard.start()
    subject, binds = Subject.from_dict(settings["subject"]), settings["databases"]
    uri = binds.pop(FIRST_ENGINE)
    outcome = Migrated()
    maker = AppMaker(subject)
    maker.start(uri, binds)
    app = maker.make(uri)
    # An env.py without the app reads the URI from one of these.
    files = Environment()
    own = subject.environment(uri, binds, files)
    os.environ.update({**dict.fromkeys(URI_VARIABLES, subject.uri(uri)), **own})
    with context_of(app):
        config = _config(app, Path(settings["place"]), subject.uri(uri))
        models = [one for several in maker.metadata(app).values() for one in several]
        _run(config, engine_of(subject, app), outcome, models)
    files.remove_files()
    if refusals and outcome.failure:
        outcome = Migrated(
            not_applicable=f"its env.py connects to {refusals[0]} and not to the database of the app"
        )
    Path(settings["result"]).write_text(json.dumps(asdict(outcome)), encoding="utf-8")


def _config(app: Flask, place: Path, uri: str) -> Any:
    if place.name != "alembic.ini":
        return app.extensions["migrate"].migrate.get_config(str(place))
    from alembic.config import Config  # noqa: PLC0415 - the app's, if it is installed

    os.chdir(
        place.parent
    )  # Its paths are relative to the working directory, which is the folder of the file.
    config = Config(str(place))
    config.set_main_option("sqlalchemy.url", uri.replace("%", "%%"))
    return config


def _run(config: Any, engine: Engine, outcome: Migrated, models: list[MetaData]) -> None:
    from alembic import command, util  # noqa: PLC0415 - the app's, if it is installed
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - the same

    try:
        heads = ScriptDirectory.from_config(config).get_heads()
    except util.CommandError as error:
        outcome.not_applicable = f"alembic cannot read its migrations: {first_line(error)}"
        return
    before = _objects(engine)
    if before and VERSIONS not in before:  # An app may run its migrations itself.
        outcome.not_applicable = "the app creates its tables itself when it is made"
    elif not heads:
        outcome.not_applicable = "its migrations have no revision yet"
    elif not _failed("upgrade", lambda: command.upgrade(config, "heads"), engine, outcome):
        _check(config, engine, outcome, models)
        if not outcome.failure:
            _again(config, engine, outcome)


def _check(config: Any, engine: Engine, outcome: Migrated, models: list[MetaData]) -> None:
    from alembic import command, util  # noqa: PLC0415 - the app's, if it is installed

    if not hasattr(command, "check"):
        outcome.note = "`check` could not run: it needs alembic 1.9."
        return

    def check() -> None:
        try:
            command.check(config)
        except util.CommandError as error:
            differences = getattr(error, "diffs", ())
            if not differences:  # Its env.py offers no metadata to compare.
                outcome.note = f"`check` could not run: {first_line(error)}."
                return
            more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
            outcome.failure = (
                "after `upgrade`, `check` finds that the models and the tables differ:"
                f" {_in_words(differences[0])}{more}. Add a migration that makes them equal."
                f" The newest migration is at {_newest(config)}."
            )

    if _failed("check", check, engine, outcome) and not outcome.not_applicable:
        for metadata in models:
            try:
                check_columns(metadata, engine.dialect)
            except OwnTablesError as error:  # The error of alembic names neither table nor column.
                outcome.failure = f"`check` fails: {error}"
                return


def _newest(config: Any) -> str:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - the app's, if it is installed

    scripts = ScriptDirectory.from_config(config)
    return f"{_shown(Path(scripts.get_revision(scripts.get_heads()[0]).path))}:1"


def _again(config: Any, engine: Engine, outcome: Migrated) -> None:
    """Downgrade to nothing, and upgrade again if nothing is left."""
    from alembic import command  # noqa: PLC0415 - the app's, if it is installed

    down = Migrated()
    if _failed("downgrade base", lambda: command.downgrade(config, "base"), engine, down):
        outcome.note = f"{outcome.note} {down.failure}".strip()
    elif left := sorted(_objects(engine) - {VERSIONS}):
        outcome.note = f"{outcome.note} `downgrade base` leaves the {left[0]} in the database.".strip()
    else:
        again = "after `downgrade base`, "
        _failed("upgrade", lambda: command.upgrade(config, "heads"), engine, outcome, again)


def _failed(step: str, run: Callable[[], None], engine: Engine, outcome: Migrated, when: str = "") -> bool:
    """Run a step and return whether it failed."""
    try:
        run()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of a migration may raise any
        place, reason = _place(error), first_line(error)
        where = f" in {_shown(place[0])}:{place[1]}" if place else ""
        remedy = ""
        if place and REFUSED in reason:
            remedy = lines_to_delete(place[0].read_text(encoding="utf-8"), place[1])
        outcome.failure = f"{when}`{step}` fails{where}: {reason}. {remedy or remedy_for(reason)}".strip()
        if missing := lacking(error, engine.dialect.name):
            outcome.not_applicable = f"the server lacks what its migrations need{where}: {missing}"
        traceback.print_exc()
        return True
    return False


def _place(error: BaseException) -> tuple[Path, int] | None:
    """Return the file and the line of the migration that raised an error; None if none did."""
    found = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [(file, line) for file, line in found if file.parent.name == "versions" or file.name == "env.py"]
    migrations = [(file, line) for file, line in own if file.name != "env.py"]
    return next(iter((migrations or own)[-1:]), None)


def _shown(file: Path) -> Path:
    file = file.resolve()
    return file.relative_to(STARTED_IN) if file.is_relative_to(STARTED_IN) else file


def _objects(engine: Engine) -> set[str]:
    """Return the tables and the enumeration types in a database, in words."""
    found = inspect(engine)
    enums: list[dict[str, Any]] = getattr(found, "get_enums", list)()
    return {f"table {name}" for name in found.get_table_names()} | {f"type {enum['name']}" for enum in enums}


def _in_words(difference: Any) -> str:
    """Return a difference of alembic's autogenerate in words."""
    kind, *rest = difference[0] if isinstance(difference, list) else difference
    words = str(kind).replace("_", " ")
    with contextlib.suppress(Exception):  # The operations of other packages have other parts.
        if kind.startswith("modify_"):
            _, table, column, _, existing, wanted = rest
            return f"{words} of {table}.{column} from {existing!r} to {wanted!r}"
        if kind.endswith("_column"):
            _, table, column = rest
            return f"{words} {table}.{column.name}"
        return f"{words} {getattr(rest[0], 'name', None) or rest[0]}{_of_table(rest[0])}"
    return words


def _of_table(part: Any) -> str:
    table = getattr(part, "table", None)
    return f" of {table.name}" if table is not None else ""


if __name__ == "__main__":
    main()
