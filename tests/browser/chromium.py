"""A real Chromium: Debian's, or the one that Playwright has installed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
NONE = (
    "There is no Chromium here. On Debian: apt-get install chromium."
    " Elsewhere: python -m playwright install chromium."
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Started now, and closed in the end."""
    with sync_playwright() as playwright:
        # Chromium refuses to make its sandbox as root.
        args = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=_found(playwright), args=args)
        yield browser
        browser.close()


def _found(playwright: Playwright) -> str:
    own = playwright.chromium.executable_path
    found = own if Path(own).exists() else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(NONE, pytrace=False)
    return found
