"""A mark that would have no effect, or leave out a test everywhere, is refused."""

import pytest

from tests.harness.projects import Project

pytestmark = pytest.mark.bad_day


@pytest.mark.parametrize(
    ("capability", "fixture", "sentence"),
    [
        (
            "sever",
            "testbed_backend",
            "is marked as needing 'sever', which is no capability. Did you mean server?",
        ),
        ("glass", "testbed_backend", "which is no capability. Choose from: bounded-reads, container, "),
        ("server", "tmp_path", "is marked with testbed_needs, but it runs on no backend. Let it use the"),
    ],
)
def test_a_useless_mark_is_refused(project: Project, capability: str, fixture: str, sentence: str) -> None:
    project.write(
        f"""
        import pytest

        @pytest.mark.testbed_needs("{capability}")
        def test_it({fixture}):
            pass
        """
    )
    outcome = project.run("--testbed-backend", "sqlite")

    assert outcome.code == pytest.ExitCode.USAGE_ERROR, outcome.text
    (line,) = outcome.lines("ERROR")
    assert f"test_inner.py::test_it {sentence}" in line or sentence in line
