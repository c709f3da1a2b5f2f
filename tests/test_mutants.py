"""The list of mutants that no test can kill is compared with the mutants that survived."""

from tests.mutants import differences

LIST = """
| mutant | what it changes | why no test can kill it |
|---|---|---|
| `sessions.x_binding_of__mutmut_1` | `None` | It is equivalent. |
"""


def results(first: str, second: str) -> str:
    return (
        f"    app.database.sessions.x_binding_of__mutmut_1: {first}\n"
        f"    app.database.x_init_engine__mutmut_2: {second}\n"
    )


def test_a_listed_mutant_that_survived_is_no_difference() -> None:
    assert differences(LIST, results("survived", "killed")) == []
    assert differences(LIST, results("survived", "timeout")) == []


def test_a_survivor_that_is_not_listed_is_reported() -> None:
    (line,) = differences(LIST, results("survived", "survived"))

    assert line.startswith("x_init_engine__mutmut_2 survived.")


def test_a_mutant_without_tests_or_not_tried_counts_as_a_survivor() -> None:
    assert len(differences(LIST, results("no tests", "not checked"))) == 1


def test_a_listed_mutant_that_did_not_survive_is_reported() -> None:
    (line,) = differences(LIST, results("killed", "killed"))

    assert line.startswith("sessions.x_binding_of__mutmut_1 did not survive.")


def test_an_empty_result_is_reported() -> None:
    assert differences(LIST, "") == ["No mutant was tried. Run them first: mutmut run."]
