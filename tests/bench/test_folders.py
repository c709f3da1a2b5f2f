from pathlib import Path

import pytest

from bench.rows import test_all


def test_the_seconds_of_tests_are_added_up_for_each_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_all, "NAMED", 1)
    cases = {"tests.binding.test_one": 1, "tests.harness.test_two": 2, "tests.harness.sub.test_three": 3}
    (tmp_path / "junit.xml").write_text(
        "<testsuites><testsuite>"
        + "".join(f'<testcase classname="{name}" time="{time}"/>' for name, time in cases.items())
        + "</testsuite></testsuites>"
    )

    assert test_all.seconds_by_folder(tmp_path / "junit.xml") == {"tests/harness": 5, "other folders": 1}
