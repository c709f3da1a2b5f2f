"""The streamed responses of an app that run after their context are found in its code."""

import ast

import pytest

from flask_sqlalchemy_testbed.subject.streams import unwrapped_streams

STREAM = """
@app.get("/rows")
def view():
    def rows():
        yield "one"
    RETURN
"""


@pytest.mark.parametrize(
    "statement",
    [
        "return rows()",
        "return Response(rows(), mimetype='text/csv')",
        "return app.response_class(response=rows())",
        "return Response(str(row) for row in found)",
    ],
)
def test_a_generator_without_the_wrapper_is_found(statement: str) -> None:
    assert unwrapped_streams({"shop.py": ast.parse(STREAM.replace("RETURN", statement))}) == ["shop.py:6"]


@pytest.mark.parametrize(
    "statement",
    [
        "return stream_with_context(rows())",
        "return Response(stream_with_context(rows()))",
        "return list(rows())",
        "return Response(''.join(rows()))",
    ],
)
def test_a_generator_that_is_wrapped_or_read_in_the_view_is_left_out(statement: str) -> None:
    assert unwrapped_streams({"shop.py": ast.parse(STREAM.replace("RETURN", statement))}) == []


def test_a_generator_function_may_have_the_wrapper_as_its_decorator() -> None:
    decorated = STREAM.replace("    def rows", "    @stream_with_context\n    def rows")

    assert unwrapped_streams({"shop.py": ast.parse(decorated.replace("RETURN", "return rows()"))}) == []
