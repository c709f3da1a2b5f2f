"""Check /openapi.json itself. In the other tests, the client checks each answer against it."""

import re
from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import validate

from app import create_app


@pytest.fixture(scope="module")
def app() -> Flask:
    return create_app({"DATABASE_URI": "sqlite://"})


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    document: dict[str, Any] = app.test_client().get("/openapi.json").json  # type: ignore[assignment]
    return document


def operations_of(document: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_route_is_in_the_document(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint not in {"static", "openapi"}
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert routes == set(operations_of(document))


def test_every_operation_documents_503_with_retry_after(document: dict[str, Any]) -> None:
    assert all("503" in operation["responses"] for operation in operations_of(document).values())
    assert "Retry-After" in document["components"]["responses"]["Problem503"]["headers"]


def test_every_problem_has_the_media_type_of_problems(document: dict[str, Any]) -> None:
    problems = document["components"]["responses"]

    assert problems
    assert all(list(problem["content"]) == ["application/problem+json"] for problem in problems.values())


def test_a_mounted_app_names_its_mount_path_as_the_server(app: Flask) -> None:
    answer = app.test_client().get("/openapi.json", environ_overrides={"SCRIPT_NAME": "/mounted"})

    assert answer.json["servers"] == [{"url": "/mounted"}]  # type: ignore[index]


def test_two_apps_in_one_process_each_have_the_document(document: dict[str, Any]) -> None:
    other = create_app({"DATABASE_URI": "sqlite://"})

    assert other.test_client().get("/openapi.json").json == document
