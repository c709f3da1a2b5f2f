"""Take the pictures for the documentation: `python -m tests.browser.pictures`.

They show the composed stack.
"""

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.browser.chromium import chromium
from tests.browser.site import Site, served
from tests.browser.trial_page import TrialPage
from tests.stack.stack import composed

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
        trial = visit(site, browser, **DESKTOP, color_scheme="light")
        trial.run("Duplicate key, then a query")
        take(trial, "light")
        trial = visit(site, browser, **DESKTOP, color_scheme="dark")
        trial.send_to("postgresql")
        trial.run("Leak a session on purpose")
        trial.send_to("all 3")
        trial.run("Two requests that deadlock")
        expect(trial.field("postgresql", "sessions")).to_have_text("1")
        take(trial, "dark")
        trial.page.get_by_role("button", name="Let it go on postgresql").click()
        trial = visit(site, browser, **PHONE)
        trial.send_to("mysql")
        trial.run("Kill my connection on the server")
        take(trial, "phone", top=False)
    with composed("app", "first", "second", "gate") as stack, chromium() as browser:
        show_failover(Site(f"http://127.0.0.1:{stack.ports['app']}", (), stack), browser)


def show_failover(site: Site, browser: Browser) -> None:
    """Show a demotion, a promotion and the return of the old primary, each for a while."""
    trial = TrialPage(site, browser, viewport={"width": 1440, "height": 1080}, color_scheme="light")
    trial.page.goto(f"{site.url}/failover")
    trial.page.wait_for_timeout(25_000)
    trial.page.get_by_role("button", name="Demote first").click()
    trial.page.wait_for_timeout(3_000)
    trial.page.get_by_role("button", name="Promote second").click()
    trial.page.wait_for_timeout(12_000)
    assert site.stack is not None
    site.stack.compose("restart", "first")
    expect(trial.page.locator("[data-node=first] [data-field=role]")).to_have_text("standby")
    trial.page.wait_for_timeout(10_000)
    take(trial, "failover")


def visit(site: Site, browser: Browser, **options: Any) -> TrialPage:
    """Open the page."""
    trial = TrialPage(site, browser, **options)
    trial.page.goto(site.url)
    return trial


def take(trial: TrialPage, name: str, *, top: bool = True) -> None:
    """Write the picture after the status is current and the last message is hidden."""
    for each in trial.site.backends:
        expect(trial.field(each, "transactions")).not_to_have_text("unknown")
    expect(trial.page.get_by_role("status")).not_to_have_attribute("data-shown", "", timeout=20_000)
    trial.page.mouse.move(0, 0)
    if top:
        trial.page.evaluate("scrollTo(0, 0)")
    else:
        trial.result("").evaluate("each => each.closest('.stage').scrollIntoView()")
    DOCS.mkdir(exist_ok=True)
    path = DOCS / f"trial-{name}.png"
    trial.page.screenshot(path=path, animations="disabled", caret="hide")
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
