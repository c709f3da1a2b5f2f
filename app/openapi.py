"""Serve the OpenAPI document, made from the schemas that check the requests."""

# flask-smorest has no type hints.
# mypy: disallow-subclassing-any=False

from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from flask_smorest import Api, Blueprint  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException
from werkzeug.http import HTTP_STATUS_CODES

from .parsing import BODY_BYTES, StrictParser
from .problems import MEDIA_TYPE, answer
from .schemas import ProblemSchema

PROBLEMS = (400, 404, 409, 413, 415, 422, 500, 503)
RETRY_AFTER = {
    "Retry-After": {
        "description": "seconds to wait before the next try",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}


class StrictBlueprint(Blueprint):
    """A blueprint whose arguments ``StrictParser`` reads."""

    ARGUMENTS_PARSER = StrictParser()


class ProblemApi(Api):
    """An API whose errors are problems, documented for each status."""

    # flask-smorest adds this to a response for every HTTP status. A reference is cheap.
    ERROR_SCHEMA = {"$ref": "#/components/schemas/Problem"}  # noqa: RUF012 - like its base class
    DEFAULT_ERROR_RESPONSE_NAME = None

    def _register_pagination_header(self) -> None:
        """Do not document the pagination header: pages describe themselves in their body."""

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer with a problem, like all other errors."""
        return answer(error)


def failures(*statuses: int) -> dict[int, str]:
    """Return the responses for these statuses, and for 500 and 503, which can always occur."""
    return {status: f"Problem{status}" for status in (*statuses, 500, 503)}


def init_app(app: Flask) -> None:
    """Serve the OpenAPI document of ``app`` as ``/openapi.json``."""
    if app.config["MAX_CONTENT_LENGTH"] is None:
        app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES
    # A path with a doubled slash is unknown: the document describes no redirects.
    app.url_map.merge_slashes = False
    api = ProblemApi(spec_kwargs={"title": "Ledger", "version": "1", "openapi_version": "3.1.0"})
    api.init_app(app)
    for status in PROBLEMS:
        response = {
            "description": HTTP_STATUS_CODES[status],
            "content": {MEDIA_TYPE: {"schema": ProblemSchema}},
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response["headers"] = RETRY_AFTER
        api.spec.components.response(f"Problem{status}", response)

    @app.get("/openapi.json")
    def openapi() -> dict[str, Any]:
        # The app may be mounted below a path, which is known only in a request.
        return {**api.spec.to_dict(), "servers": [{"url": request.script_root or "/"}]}


def register(app: Flask, blueprint: Blueprint) -> None:
    """Serve ``blueprint`` in ``app``, and add it to the document."""
    app.extensions["flask-smorest"]["apis"][""]["ext_obj"].register_blueprint(blueprint)
