"""Serve the ledger over HTTP."""

# flask-smorest has no type hints, so its decorators have none either.
# mypy: disallow-untyped-decorators=False

import re
from typing import Any

from flask import Flask, Response, request, url_for

from . import ledger
from .models import Account, Transfer
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

blueprint = StrictBlueprint(
    "ledger", __name__, url_prefix="/api", description="Accounts, and transfers between them."
)

ACCOUNT_ID = {"name": "account_id", "in": "path", "required": True, "schema": ID_SCHEMA}
LOCATION = {
    "Location": {
        "description": "the URL of the account",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    }
}


@blueprint.before_request
def refuse_unknown_parameters() -> None:
    """Refuse query parameters, except for the lists, whose schemas check them."""
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
def open_account(fields: dict[str, Any]) -> tuple[Account, dict[str, str]]:
    """Open an account."""
    account = ledger.open_account(**fields)
    return account, {"Location": url_for("ledger.get_account", account_id=account.id)}


@blueprint.route("/accounts")
@blueprint.doc(operationId="listAccounts", responses=failures(422))
@blueprint.arguments(PageQuerySchema, location="query")
@blueprint.response(200, AccountPageSchema)
def list_accounts(query: dict[str, int]) -> ledger.Page[Account]:
    """List the accounts, one page at a time."""
    return ledger.list_accounts(**query)


@blueprint.route("/accounts/<account_id>", parameters=[ACCOUNT_ID])
@blueprint.doc(operationId="getAccount", responses=failures(404, 422))
@blueprint.response(200, AccountSchema)
def get_account(account_id: str) -> Account:
    """Read an account."""
    # A URL converter would answer without naming the field. An impossible id is an unknown id.
    if not re.fullmatch("[1-9][0-9]{0,18}", account_id) or int(account_id) > LARGEST_ID:
        raise ledger.UnknownError(field="account_id", reason="No such account.")
    return ledger.get_account(int(account_id))


@blueprint.route("/transfers", methods=["POST"])
@blueprint.doc(operationId="transfer", responses=failures(400, 409, 413, 415, 422))
@blueprint.arguments(NewTransferSchema)
@blueprint.response(201, TransferSchema)
def transfer(fields: dict[str, Any]) -> Transfer:
    """Move money from one account to another, once for each idempotency key."""
    return ledger.transfer(ledger.Order(**fields))


@blueprint.route("/transfers")
@blueprint.doc(operationId="listTransfers", responses=failures(422))
@blueprint.arguments(PageQuerySchema, location="query")
@blueprint.response(200, TransferPageSchema)
def list_transfers(query: dict[str, int]) -> ledger.Page[Transfer]:
    """List the transfers, one page at a time."""
    return ledger.list_transfers(**query)


def init_app(app: Flask) -> None:
    """Serve the ledger of ``app`` under ``/api``."""
    register(app, blueprint)
