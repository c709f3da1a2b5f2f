"""Every scenario on every backend, started with its button."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from tests.browser.opened import Opened
from trials.scenarios import ALL

ENDING = [name for name, scenario in ALL.items() if not scenario.leaks]
# The events of every scenario with a session.
LIFE = ("context pushed", "session begun", "connection checked out", "statement 1", "session removed")


@pytest.mark.parametrize("name", ENDING)
def test_a_scenario_has_its_verdict_picture_and_events_on_every_backend(opened: Opened, name: str) -> None:
    scenario = ALL[name]
    opened.run(scenario.title)

    expect(opened.result(scenario.title)).to_be_visible()
    for backend in opened.site.backends:
        if reason := scenario.lacking(BACKENDS[backend]):
            expect(opened.verdict(backend)).to_contain_text("n/a")
            expect(opened.verdict(backend)).to_contain_text(f"Not applicable: {reason}.")
            expect(opened.timeline(backend)).to_have_count(0)
            continue
        expect(opened.verdict(backend)).to_contain_text("kept")
        expect(opened.verdict(backend)).to_contain_text("The session ended as promised.")
        for kind in ("context", "session", "connection", "statement"):
            expect(opened.timeline(backend).locator(f"rect.{kind}").first).to_be_visible()
        expect(opened.timeline(backend).locator(".open")).to_have_count(0)
        words = opened.page.locator("details.words", has_text=f"Events on {backend}")
        for event in LIFE:
            expect(words.locator("li", has_text=event).first).to_be_attached()
        expect(words.locator("li").last).to_contain_text("context popped")


def test_a_scenario_can_be_sent_to_one_backend(opened: Opened) -> None:
    one = opened.site.backends[-1]
    opened.send_to(one)
    opened.run("Commit")

    expect(opened.page.locator("[data-verdict]")).to_have_count(1)
    expect(opened.verdict(one)).to_contain_text("kept")


def test_all_timelines_have_one_axis(opened: Opened) -> None:
    opened.run("Commit")

    axes = [opened.timeline(backend).locator(".time").all_text_contents() for backend in opened.site.backends]
    assert axes[0][0] == "0.00 ms"
    assert all(axis == axes[0] for axis in axes)


def test_each_scenario_links_to_its_check(opened: Opened) -> None:
    for scenario in ALL.values():
        link = opened.page.get_by_role("listitem").filter(
            has=opened.page.get_by_role("button", name=scenario.title, exact=True)
        )
        expect(link.get_by_role("link")).to_contain_text(scenario.check)
    opened.page.get_by_role("link", name="transactions.deadlock").click()

    expect(opened.page.get_by_role("heading", level=1)).to_have_text("transactions.deadlock")
    expect(opened.page.locator("main")).to_contain_text(CHECKS["transactions.deadlock"].claim)


def test_a_leak_is_red_until_it_is_let_go(opened: Opened) -> None:
    number = opened.run("Leak a session on purpose")
    for backend in opened.site.backends:
        expect(opened.verdict(backend)).to_contain_text("left open")
        expect(opened.field(backend, "leaked")).to_have_text("1 session left open on purpose")
        expect(opened.field(backend, "sessions")).to_have_text("1")
        red = opened.backend(backend).locator(".leak").evaluate("each => getComputedStyle(each).color")
        assert red == opened.page.locator("b.bad").first.evaluate("each => getComputedStyle(each).color")
    expect(opened.page.locator("rect.session.open")).to_have_count(len(opened.site.backends))

    for backend in opened.site.backends:
        opened.page.get_by_role("button", name=f"Let it go on {backend}").click()
        expect(opened.field(backend, "leaked")).to_have_text("no leak")
        expect(opened.field(backend, "sessions")).to_have_text("0")
        quiet = opened.backend(backend).locator(".leak").evaluate("each => getComputedStyle(each).color")
        assert quiet != red
    opened.page.goto(f"{opened.site.url}/timelines/{number}")
    expect(opened.page.locator("rect.session.open")).to_have_count(0)
    expect(opened.verdict(opened.site.backends[0])).to_contain_text("let go")


def test_timelines_are_kept_opened_and_compared(opened: Opened) -> None:
    first, second = opened.run("Commit"), opened.run("Abort with 404")
    history = opened.page.locator("#history")
    expect(history.get_by_role("link", name=f"{first} Commit")).to_be_visible()
    history.get_by_role("checkbox", name=f"Compare timeline {first}", exact=True).check()
    history.get_by_role("checkbox", name=f"Compare timeline {second}", exact=True).check()
    history.get_by_role("button").click()

    expect(opened.page).to_have_url(f"{opened.site.url}/timelines/compare?n={second}&n={first}")
    expect(opened.page.locator("article.result")).to_have_count(2)
    opened.page.get_by_role("link", name=f"timeline {first}", exact=True).click()
    expect(opened.page.get_by_role("heading", name="Commit")).to_be_visible()


def test_the_page_works_without_scripts(open_page: Callable[..., Opened]) -> None:
    opened = open_page(java_script_enabled=False)
    opened.page.get_by_role("button", name="Commit", exact=True).click()

    expect(opened.page.get_by_role("heading", name="Commit")).to_be_visible()
    expect(opened.verdict(opened.site.backends[0])).to_contain_text("The session ended as promised.")
