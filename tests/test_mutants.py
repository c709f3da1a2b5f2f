"""The list of mutants that live is held against those that do."""

from __future__ import annotations

from tests.mutants import complaints

LIST = """
| mutant | what it changes | why it lives |
|---|---|---|
| `x_get_engine__mutmut_1` | `None` | It is the same. |
"""


def results(one: str, other: str) -> str:
    return (
        f"    app.database.x_get_engine__mutmut_1: {one}\n"
        f"    app.database.xǁBindingǁbind__mutmut_2: {other}\n"
    )


def test_a_mutant_that_lives_and_is_listed_is_no_complaint() -> None:
    assert complaints(LIST, results("survived", "killed")) == []
    assert complaints(LIST, results("survived", "timeout")) == []


def test_one_that_lives_and_is_not_listed_is_told() -> None:
    (told,) = complaints(LIST, results("survived", "survived"))

    assert told.startswith("xǁBindingǁbind__mutmut_2 lives.")


def test_one_that_no_test_meets_or_that_was_not_tried_lives() -> None:
    assert len(complaints(LIST, results("no tests", "not checked"))) == 1


def test_one_that_is_listed_and_does_not_live_is_told() -> None:
    (told,) = complaints(LIST, results("killed", "killed"))

    assert told.startswith("x_get_engine__mutmut_1 does not live.")


def test_where_none_was_tried_that_is_told() -> None:
    assert complaints(LIST, "") == ["No mutant was tried. Run them first: mutmut run."]
