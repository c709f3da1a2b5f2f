"""Start Chromium: the one of the system, or the one that Playwright installed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE = (
    "Chromium is not installed. On Debian, run: apt-get install chromium."
    " Elsewhere, run: python -m playwright install chromium."
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser for the `with` block."""
    with sync_playwright() as playwright:
        # Chromium cannot create its sandbox as root.
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=_found(playwright), args=args)
        yield browser
        browser.close()


def _found(playwright: Playwright) -> str:
    path = playwright.chromium.executable_path
    found = path if Path(path).exists() else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(NONE, pytrace=False)
    return found
