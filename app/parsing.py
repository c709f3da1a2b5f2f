"""Parse requests strictly: refuse input that two parsers could understand differently."""

# ruff: noqa: ARG002 - the base classes define the signatures

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import marshmallow as ma
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from .problems import Problem

BODY_BYTES = 64 * 1024  # The longest valid transfer has 17 KiB, with every character escaped.


class _NotJson(str):
    """NaN or Infinity, which Python's parser accepts though JSON does not have them."""

    __slots__ = ()


class _MalformedError(ValueError):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def read_json(body: bytes) -> Any:
    """Parse ``body`` as JSON.

    Raises:
        Problem: 400, with the reason, if the body is not valid JSON or repeats a member.
    """
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
        # Python does not parse a number of more than 4,300 digits.
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
    """Parse JSON bodies and query strings. Unknown fields are answered with 422."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": ma.RAISE, "query": ma.RAISE}  # noqa: RUF012 - like its base class

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        """Return the parsed body, or raise a 415 if its media type is not JSON."""
        if req.mimetype != "application/json":
            description = "Send the body as application/json."
            raise UnsupportedMediaType(description)
        return read_json(req.get_data())

    def load_querystring(self, req: Request, schema: ma.Schema) -> dict[str, str]:
        """Return the parameters, or raise an error if one is given twice."""
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise ma.ValidationError({name: ["Given more than once."] for name in repeated})
        return req.args.to_dict()

    def handle_error(self, error: ma.ValidationError, req: Request, schema: ma.Schema, **_: Any) -> NoReturn:
        """Raise a 422 that names each wrong field."""
        (messages,) = error.messages_dict.values()
        raise Problem(422, "The request has fields that are not valid.", _by_field(messages))


def _by_field(messages: Mapping[str, Any]) -> dict[str, list[str]]:
    return {"body" if name == ma.exceptions.SCHEMA else name: texts for name, texts in messages.items()}
