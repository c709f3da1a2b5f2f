"""Add the command ``flask init-db``, and names to ``flask shell``."""

import time
from itertools import count
from typing import Any

import click
from flask import Flask
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from .database import Base, create_all, db_session, get_engine
from .faults import Fault, fault_of
from .models import Account, Transfer
from .retry import TRIES, pause


def init_app(app: Flask) -> None:
    """Add the command to ``app``, and the names to its shell."""
    app.cli.command("init-db")(init_db)
    app.shell_context_processor(shell_names)


def init_db() -> None:
    """Create the tables that are missing. Existing tables are left as they are."""
    try:
        missing = _missing()
        _create_missing()
    except DBAPIError as error:
        if fault_of(error) is not Fault.AWAY:
            raise
        message = f"{get_engine().url!r} cannot be reached. Start it or correct DATABASE_URI.\n{error.orig}"
        raise click.ClickException(message) from None
    if missing:
        click.echo(f"Created {', '.join(missing)} in {get_engine().url!r}.")
    else:
        click.echo(f"Nothing to do: {get_engine().url!r} has every table.")


def _create_missing() -> None:
    for attempt in count(1):
        try:
            create_all()
        except DBAPIError as error:
            # Another worker may be creating the same table at this moment.
            if fault_of(error) is Fault.AWAY or attempt >= TRIES:
                raise
            time.sleep(pause(attempt))
        else:
            return


def _missing() -> list[str]:
    existing = inspect(get_engine()).get_table_names()
    return sorted(set(Base.metadata.tables) - set(existing))


def shell_names() -> dict[str, Any]:
    """Return the names that a shell starts with. The session is removed when the shell ends."""
    return {"db_session": db_session, "Account": Account, "Transfer": Transfer}
