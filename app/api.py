"""The ledger over HTTP."""

# flask-smorest has no type hints, so its decorators have none either.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import request, url_for

from . import ledger
from .openapi import StrictBlueprint, failures, register
from .problems import Problem, answer
from .schemas import (
    ID_SCHEMA,
    AccountPageSchema,
    AccountSchema,
    NewAccountSchema,
    NewTransferSchema,
    PageQuerySchema,
    TransferPageSchema,
    TransferSchema,
)
from .types import LARGEST_ID

if TYPE_CHECKING:
    from typing import Any

    from flask import Flask, Response

    from .models import Account, Transfer

blueprint = StrictBlueprint(
    "ledger", __name__, url_prefix="/api", description="Accounts, and transfers between them."
)

ACCOUNT_ID = {
    "name": "account_id",
    "in": "path",
    "required": True,
    "schema": ID_SCHEMA,
}
LOCATION = {
    "Location": {
        "description": "where the account can be read",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    }
}


@blueprint.before_request
def refuse_unknown_parameters() -> None:
    """Refuse every query parameter where none is known; a list knows its own."""
    if request.endpoint not in {"ledger.list_accounts", "ledger.list_transfers"} and request.args:
        errors = {name: ["Unknown field."] for name in request.args}
        raise Problem(422, "The request has fields that are not valid.", errors)


@blueprint.errorhandler(ledger.RefusedError)
def answer_refusal(error: ledger.RefusedError) -> Response:
    """Answer with a problem that names the field."""
    status = {ledger.ConflictError: 409, ledger.UnknownError: 404}.get(type(error), 422)
    return answer(Problem(status, error.reason, {error.field: [error.reason]}))


@blueprint.route("/accounts", methods=["POST"])
@blueprint.doc(operationId="openAccount", responses=failures(400, 413, 415, 422))
@blueprint.arguments(NewAccountSchema)
@blueprint.response(201, AccountSchema, headers=LOCATION)
def open_account(wanted: dict[str, Any]) -> tuple[Account, dict[str, str]]:
    """Open an account."""
    account = ledger.open_account(**wanted)
    return account, {"Location": url_for("ledger.get_account", account_id=account.id)}


@blueprint.route("/accounts")
@blueprint.doc(operationId="listAccounts", responses=failures(422))
@blueprint.arguments(PageQuerySchema, location="query")
@blueprint.response(200, AccountPageSchema)
def list_accounts(wanted: dict[str, int]) -> ledger.Page[Account]:
    """List accounts, a page at a time."""
    return ledger.list_accounts(**wanted)


@blueprint.route("/accounts/<account_id>", parameters=[ACCOUNT_ID])
@blueprint.doc(operationId="getAccount", responses=failures(404, 422))
@blueprint.response(200, AccountSchema)
def get_account(account_id: str) -> Account:
    """Read an account."""
    # Not a converter of the URL map: an id that cannot be is an unknown one, and is named.
    if not re.fullmatch("[1-9][0-9]{0,18}", account_id) or int(account_id) > LARGEST_ID:
        raise ledger.UnknownError(field="account_id", reason="No such account.")
    return ledger.get_account(int(account_id))


@blueprint.route("/transfers", methods=["POST"])
@blueprint.doc(operationId="transfer", responses=failures(400, 409, 413, 415, 422))
@blueprint.arguments(NewTransferSchema)
@blueprint.response(201, TransferSchema)
def transfer(wanted: dict[str, Any]) -> Transfer:
    """Move money from one account to another, once for each idempotency key."""
    return ledger.transfer(ledger.Order(**wanted))


@blueprint.route("/transfers")
@blueprint.doc(operationId="listTransfers", responses=failures(422))
@blueprint.arguments(PageQuerySchema, location="query")
@blueprint.response(200, TransferPageSchema)
def list_transfers(wanted: dict[str, int]) -> ledger.Page[Transfer]:
    """List transfers, a page at a time."""
    return ledger.list_transfers(**wanted)


def init_app(app: Flask) -> None:
    """Serve the ledger under ``/api``."""
    register(app, blueprint)
