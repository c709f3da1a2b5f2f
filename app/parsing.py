"""Read what a request says, strictly: what two readers could understand differently is refused."""

# ruff: noqa: ARG002 - the signatures are those of the base class

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

import marshmallow as ma
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from .problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Request

BODY_BYTES = 64 * 1024  # The longest valid transfer, with every character escaped, takes 17 KiB.


class _NotJson(str):
    """NaN or Infinity, which Python's reader knows and JSON does not."""

    __slots__ = ()


class _MalformedError(ValueError):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def read_json(body: bytes) -> Any:
    """Return what the JSON text ``body`` says, or raise a 400 that says why it says nothing."""
    try:
        return json.loads(body.decode(), parse_constant=_NotJson, object_pairs_hook=_object_without_repeats)
    except _MalformedError as error:
        raise Problem(400, "The body is not valid JSON.", {error.field: [error.reason]}) from None
    except RecursionError:
        reason = "Nested too deeply."
    except json.JSONDecodeError as error:
        reason = f"{error.msg} (line {error.lineno}, column {error.colno})."
    except UnicodeDecodeError:
        reason = "Not UTF-8."
    except ValueError:
        # Python refuses to read a number of more than 4,300 digits.
        reason = "A number is too long."
    raise Problem(400, "The body is not valid JSON.", {"body": [reason]})


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise _MalformedError(name, "Given more than once.")
        if isinstance(value, _NotJson):
            raise _MalformedError(name, f"{value} is not a JSON value.")
        members[name] = value
    return members


class StrictParser(FlaskParser):
    """Reads JSON bodies and query strings; what the schema does not know is a 422."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.RAISE}  # noqa: RUF012 - as its base

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the body, which must say that it is JSON."""
        if req.mimetype != "application/json":
            description = "Send the body as application/json."
            raise UnsupportedMediaType(description)
        return read_json(req.get_data())

    def load_querystring(self, req: Request, schema: ma.Schema) -> dict[str, str]:
        """Return the parameters, none of which may be given twice."""
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise ma.ValidationError({name: ["Given more than once."] for name in repeated})
        return req.args.to_dict()

    def handle_error(self, error: ma.ValidationError, req: Request, schema: ma.Schema, **_: Any) -> NoReturn:
        """Raise a 422 that names each field that is wrong."""
        (messages,) = error.messages_dict.values()
        raise Problem(422, "The request has fields that are not valid.", _by_field(messages))


def _by_field(messages: Mapping[str, Any]) -> dict[str, list[str]]:
    return {"body" if name == ma.exceptions.SCHEMA else name: texts for name, texts in messages.items()}
