import pytest

from bench import projects


def test_the_phases_of_a_run_are_its_whole_time() -> None:
    timing = projects.run("testbed", "-p", "flask_sqlalchemy_testbed", "--testbed-backend", "sqlite")

    assert list(timing.phases)[1:6] == ["plugins", "configuration", "servers", "collection", "tests"]
    assert min(timing.phases.values()) >= 0
    assert sum(timing.phases.values()) == pytest.approx(timing.whole)
    assert timing.phases["servers"] <= timing.ready <= timing.whole
