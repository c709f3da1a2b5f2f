import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.__main__ import main, report
from bench.charts import draw
from bench.measurements import Figure, Goal, Row

BARS = Row(
    "bars",
    "Bars",
    [Figure("here", "ours", [1.0, 2.0], "s"), Figure("here", "theirs", [90.0], "s")],
    [Goal("here", 1.5, 2, "s")],
    parts=[Figure("here", "imports", [0.5], "s")],
)
LINES = Row(
    "lines",
    "Lines",
    [
        Figure(case, contender, [number * 2.0], "s", at=number)
        for case in ("here", "there")
        for contender in ("ours", "theirs")
        for number in (1, 4, 64)
    ],
    [Goal("straight", 11.0, 10, "%")],
)


def test_all_goals_reached_is_success(tmp_path: Path) -> None:
    assert report([BARS], tmp_path / "bench.json", tmp_path) == 0


def test_a_missed_goal_is_reported_with_its_distance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report([BARS, LINES], tmp_path / "bench.json", tmp_path) == 1

    assert capsys.readouterr().err == "Missed: lines: straight ≤ 10 %, by 1 %\n"


def test_all_samples_are_written(tmp_path: Path) -> None:
    report([BARS], tmp_path / "build" / "bench.json", tmp_path)

    written = json.loads((tmp_path / "build" / "bench.json").read_text())
    assert written["rows"][0]["figures"][0]["samples"] == [1.0, 2.0]
    assert written["rows"][0]["goals"][0]["reached"] is True
    assert written["rows"][0]["parts"][0]["samples"] == [0.5]


def test_each_row_has_its_table_and_date_beside_its_chart(tmp_path: Path) -> None:
    report([BARS, LINES], tmp_path / "bench.json", tmp_path)

    lines = (tmp_path / "lines.txt").read_text().splitlines()
    assert lines[0].startswith("Measured on 20")
    assert lines[2] == "lines: Lines"
    assert lines[-1] == "0 of 1 goals reached."


@pytest.mark.parametrize("row", [BARS, LINES], ids=lambda row: row.name)
def test_a_chart_of_the_same_figures_is_the_same_file(tmp_path: Path, row: Row) -> None:
    draw(row, tmp_path / "one.svg")
    draw(row, tmp_path / "other.svg")

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "one.svg").read_bytes()


@pytest.mark.parametrize("row", [BARS, LINES], ids=lambda row: row.name)
def test_a_chart_has_no_background_and_names_every_contender(tmp_path: Path, row: Row) -> None:
    draw(row, tmp_path / "chart.svg")

    root = ET.fromstring((tmp_path / "chart.svg").read_text())  # noqa: S314 - our own
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"ours", "theirs", "here", row.title} <= texts
    assert "#ffffff" not in (tmp_path / "chart.svg").read_text()


def test_an_unknown_row_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["redy"])

    assert "Unknown row redy. Choose from: ready, one-test, clean" in capsys.readouterr().err
