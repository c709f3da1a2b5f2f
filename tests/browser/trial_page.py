"""Use the page in a browser, and collect its errors."""

import re
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, expect

from tests.browser.site import Site

# Longer than any scenario, and than the start of a database.
MILLISECONDS = 40_000
VIOLATIONS = (
    "addEventListener('securitypolicyviolation', (event) => console.error(`CSP: ${event.blockedURI}`))"
)


class TrialPage:
    """The page in a browser profile of its own."""

    def __init__(self, site: Site, browser: Browser, **options: Any) -> None:
        self.site = site
        self.errors: list[str] = []
        self.expected_error = ""
        self._context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, **options})
        self._context.set_default_timeout(MILLISECONDS)
        self._context.add_init_script(VIOLATIONS)
        self.page: Page = self._context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        self.page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium logs each error response like this.
        expected = self.expected_error and message.text.startswith("Failed to load resource")
        if message.type in {"error", "warning"} and not (expected and self.expected_error in message.text):
            self.errors.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.site.url}/"):
            self.errors.append(f"request to another site: {request.url}")

    def close(self) -> None:
        self._context.close()

    def backend(self, name: str) -> Locator:
        """Return the column with the status of a backend."""
        return self.page.locator(f"[data-backend={name}]")

    def field(self, name: str, field: str) -> Locator:
        return self.backend(name).locator(f"[data-field={field}]")

    def verdict(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    def timeline(self, name: str) -> Locator:
        return self.page.get_by_role("group", name=re.compile(f"Timeline of .* on {name}$")).locator("svg")

    def result(self, title: str) -> Locator:
        return self.page.locator("[data-heading]", has_text=title)

    def send_to(self, name: str) -> None:
        self.page.get_by_role("radio", name=name).check()

    def run(self, title: str) -> int:
        """Press the button of a scenario, wait for its result, and return the number of the result."""
        before = self.number()
        self.page.get_by_role("button", name=title, exact=True).click()
        return self.wait_for_result(before)

    def wait_for_result(self, before: int) -> int:
        article = self.page.locator("article.result")
        expect(article).not_to_have_attribute("data-number", str(before), timeout=MILLISECONDS)
        return self.number()

    def number(self) -> int:
        """Return the number of the shown result, or 0."""
        article = self.page.locator("article.result")
        return int(article.get_attribute("data-number") or 0) if article.count() else 0
