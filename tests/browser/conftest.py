"""Share one site and one browser; each test opens the page anew and fails on console errors."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import chromium
from tests.browser.site import ALL, Site, served
from tests.browser.trial_page import MILLISECONDS, TrialPage
from tests.stack.stack import Stack, composed, free_ports


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stops_servers: needs a composed stack, whose servers it stops")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that need servers if only SQLite is tested."""
    if selected_backends(config) != ("sqlite",):
        return
    left_out = [item for item in items if item.get_closest_marker("stops_servers")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def selected_backends(config: pytest.Config) -> tuple[str, ...]:
    """Return SQLite alone if that is the option; else the backends of the stack."""
    return ("sqlite",) if config.getoption("testbed_backend") == ["sqlite"] else ALL


@pytest.fixture(scope="session")
def site(pytestconfig: pytest.Config) -> Iterator[Site]:
    with served(selected_backends(pytestconfig)) as site:
        yield site


@pytest.fixture(scope="session")
def bare_stack() -> Iterator[Stack]:
    """Start the app alone; the tests of the profiles start their services."""
    with composed("app", MARIADB_PORT=str(free_ports("mariadb")["mariadb"])) as stack:
        yield stack


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS)
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(site: Site, browser: Browser) -> Iterator[Callable[..., TrialPage]]:
    """Open the page in a browser profile of its own; fail for its errors at the end.

    A request to another site is an error too.
    """
    pages: list[TrialPage] = []

    def open_one(path: str = "/", **options: object) -> TrialPage:
        pages.append(TrialPage(site, browser, **options))
        pages[-1].page.goto(site.url + path)
        return pages[-1]

    yield open_one
    errors = [error for each in pages for error in each.errors]
    for each in pages:
        each.close()
    assert errors == []


@pytest.fixture
def trial(open_page: Callable[..., TrialPage]) -> TrialPage:
    return open_page()
