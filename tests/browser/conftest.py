"""Share one site and one browser; each test opens the page anew and fails on console errors."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import chromium
from tests.browser.opened import MILLISECONDS, Opened
from tests.browser.site import ALL, Site, served


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
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=MILLISECONDS)
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_page(site: Site, browser: Browser) -> Iterator[Callable[..., Opened]]:
    """Open the page in a browser profile of its own; fail at the end if it had errors or foreign requests."""
    opened: list[Opened] = []

    def open_one(path: str = "/", **options: object) -> Opened:
        opened.append(Opened(site, browser, **options))
        opened[-1].page.goto(site.url + path)
        return opened[-1]

    yield open_one
    complaints = [complaint for each in opened for complaint in each.complaints]
    for each in opened:
        each.close()
    assert complaints == []


@pytest.fixture
def opened(open_page: Callable[..., Opened]) -> Opened:
    return open_page()
