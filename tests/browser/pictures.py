"""`python -m tests.browser.pictures` takes the pictures for the documentation, from the composed stack."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.browser.chromium import chromium
from tests.browser.opened import Opened
from tests.browser.site import Site, served

DOCS = Path(__file__).parents[2] / "docs"
DESKTOP = {"viewport": {"width": 1440, "height": 1160}}
PHONE = {
    "viewport": {"width": 360, "height": 780},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


def main() -> None:
    """Take all pictures, each in a profile of its own."""
    with served() as site, chromium() as browser:
        opened = visit(site, browser, **DESKTOP, color_scheme="light")
        opened.run("Duplicate key, then a query")
        take(opened, "light")
        opened = visit(site, browser, **DESKTOP, color_scheme="dark")
        opened.send_to("postgresql")
        opened.run("Leak a session on purpose")
        opened.send_to("all 3")
        opened.run("Two requests that deadlock")
        expect(opened.field("postgresql", "sessions")).to_have_text("1")
        take(opened, "dark")
        opened.page.get_by_role("button", name="Let it go on postgresql").click()
        opened = visit(site, browser, **PHONE)
        opened.send_to("mysql")
        opened.run("Kill my connection on the server")
        take(opened, "phone", top=False)


def visit(site: Site, browser: Browser, **options: Any) -> Opened:
    """Open the page."""
    opened = Opened(site, browser, **options)
    opened.page.goto(site.url)
    return opened


def take(opened: Opened, name: str, *, top: bool = True) -> None:
    """Write the picture after the status is current and the last message is hidden."""
    for each in opened.site.backends:
        expect(opened.field(each, "transactions")).not_to_have_text("unknown")
    expect(opened.page.get_by_role("status")).not_to_have_attribute("data-shown", "", timeout=20_000)
    opened.page.mouse.move(0, 0)
    if top:
        opened.page.evaluate("scrollTo(0, 0)")
    else:
        opened.result("").evaluate("each => each.closest('.stage').scrollIntoView()")
    DOCS.mkdir(exist_ok=True)
    path = DOCS / f"trial-{name}.png"
    opened.page.screenshot(path=path, animations="disabled", caret="hide")
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
