"""Answer probes: the process is alive, and it reaches its database."""

# flask-smorest has no type hints, so its decorators have none either.
# mypy: disallow-untyped-decorators=False

from flask import Flask
from sqlalchemy import select

from .database import db_session
from .openapi import StrictBlueprint, failures, register
from .schemas import StateSchema

blueprint = StrictBlueprint("health", __name__, description="For probes.")


@blueprint.route("/healthz")
@blueprint.doc(operationId="healthz", responses=failures())
@blueprint.response(200, StateSchema)
def healthz() -> dict[str, str]:
    """Report that the process answers, whether or not its database does."""
    return {"status": "ok"}


@blueprint.route("/readyz")
@blueprint.doc(operationId="readyz", responses=failures())
@blueprint.response(200, StateSchema)
def readyz() -> dict[str, str]:
    """Report that the database answers; 503 while it does not."""
    db_session.execute(select(1))
    return {"status": "ok"}


def init_app(app: Flask) -> None:
    """Serve ``/healthz`` and ``/readyz``."""
    register(app, blueprint)
