"""Share one composed stack; each test leaves it up and healthy."""

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.stack.killer import start_killer
from tests.stack.stack import Stack, composed, free_ports

LINES = 300
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with composed() as stack:
        yield stack


@pytest.fixture(scope="session")
def bare_stack() -> Iterator[Stack]:
    """Start the app alone; the modules that test a profile start its services."""
    ports = free_ports("mariadb")
    with composed("app", MARIADB_PORT=str(ports["mariadb"])) as stack:
        stack.ports.update(ports)
        yield stack


@pytest.fixture(scope="session")
def kill(stack: Stack) -> Iterator[Callable[[int], None]]:
    """Send SIGKILL to a process by its number on the host."""
    with start_killer(stack) as kill:
        yield kill


@pytest.fixture
def report_figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a line at the end of the run."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(FIGURES, []):
        terminalreporter.write_line(line)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last log lines of the stack since the start of the test to its failure."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if call.when == "call" and report.failed and stack is not None:
        lines = stack.compose("logs", "--no-color", "--since", str(int(call.start))).splitlines()
        report.sections.append(("docker compose logs", "\n".join(lines[-LINES:])))
    return report
