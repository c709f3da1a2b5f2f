from math import nan

import pytest

from bench.measurements import Figure, Goal, Row
from bench.table import table


@pytest.mark.parametrize(
    ("measured", "at_least", "reached"),
    [
        (0.9, False, True),
        (1.0, False, True),
        (1.1, False, False),
        (0.9, True, False),
        (1.0, True, True),
        (1.1, True, True),
        (nan, False, False),
        (nan, True, False),
    ],
)
def test_a_goal_is_reached_up_to_its_limit(measured: float, *, at_least: bool, reached: bool) -> None:
    assert Goal("ready", measured, 1.0, "s", at_least=at_least).reached is reached


def test_a_goal_says_by_how_much_it_was_missed() -> None:
    assert Goal("ready", 1.5, 1.2, "s").missed_by == "0.3 s"


def test_a_figure_is_the_median_of_its_samples() -> None:
    assert Figure("ready", "ours", [1.0, 9.0, 2.0], "s").median == 2.0


def test_the_median_of_a_missing_figure_is_an_error() -> None:
    row = Row("ready", "Ready", [Figure("ready", "ours", [1.0], "s")])

    with pytest.raises(KeyError, match="theirs"):
        row.median("ready", "theirs")


def test_the_table_has_every_figure_every_goal_and_the_sum() -> None:
    row = Row(
        "ready",
        "All three ready",
        [Figure("ready", "ours", [1.0], "s"), Figure("ready", "theirs", [7.0, 8.0, 9.0], "s")],
        [Goal("ready", 1.0, 1.2, "s"), Goal("as fast", 8.0, 10, "times", at_least=True)],
    )

    assert table([row]).splitlines() == [
        "ready: All three ready",
        "    ready  ours    1 s  (1 to 1, 1 samples)",
        "    ready  theirs  8 s  (7 to 9, 3 samples)  8 times the first",
        "  ✓  ready    1 s      goal ≤ 1.2 s     reached",
        "  ✗  as fast  8 times  goal ≥ 10 times  missed by 2 times",
        "",
        "1 of 2 goals reached.",
    ]


PARTS = [Figure("ready", "imports", [0.3], "s"), Figure("ready", "containers", [0.5, 0.6, 0.7], "s")]


def test_a_missed_goal_is_followed_by_the_parts_of_its_limit() -> None:
    row = Row("ready", "Ready", goals=[Goal("ready", 1.5, 1.2, "s")], parts=PARTS)

    assert table([row]).splitlines()[2:5] == [
        "    The limit is made of:",
        "      ready  imports     0.3 s  (0.3 to 0.3, 1 samples)",
        "      ready  containers  0.6 s  (0.5 to 0.7, 3 samples)",
    ]


def test_the_parts_are_left_out_if_all_goals_are_reached() -> None:
    row = Row("ready", "Ready", goals=[Goal("ready", 1.0, 1.2, "s")], parts=PARTS)

    assert "imports" not in table([row])
