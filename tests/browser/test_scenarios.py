"""Every scenario on every backend, started with its button."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from tests.browser.trial_page import TrialPage
from trials.scenarios import ALL

ENDING = [name for name, scenario in ALL.items() if not scenario.leaks]
# The events of every scenario with a session.
LIFE = ("context pushed", "session begun", "connection checked out", "statement 1", "session removed")


@pytest.mark.parametrize("name", ENDING)
def test_a_scenario_has_its_verdict_picture_and_events_on_every_backend(trial: TrialPage, name: str) -> None:
    scenario = ALL[name]
    trial.run(scenario.title)

    expect(trial.result(scenario.title)).to_be_visible()
    for backend in trial.site.backends:
        if reason := scenario.lacking(BACKENDS[backend]):
            expect(trial.verdict(backend)).to_contain_text("n/a")
            expect(trial.verdict(backend)).to_contain_text(f"Not applicable: {reason}.")
            expect(trial.timeline(backend)).to_have_count(0)
            continue
        expect(trial.verdict(backend)).to_contain_text("kept")
        expect(trial.verdict(backend)).to_contain_text("The session ended as promised.")
        for kind in ("context", "session", "connection", "statement"):
            expect(trial.timeline(backend).locator(f"rect.{kind}").first).to_be_visible()
        expect(trial.timeline(backend).locator(".open")).to_have_count(0)
        words = trial.page.locator("details.words", has_text=f"Events on {backend}")
        for event in LIFE:
            expect(words.locator("li", has_text=event).first).to_be_attached()
        expect(words.locator("li").last).to_contain_text("context popped")


def test_a_scenario_can_be_sent_to_one_backend(trial: TrialPage) -> None:
    one = trial.site.backends[-1]
    trial.send_to(one)
    trial.run("Commit")

    expect(trial.page.locator("[data-verdict]")).to_have_count(1)
    expect(trial.verdict(one)).to_contain_text("kept")


def test_all_timelines_have_one_axis(trial: TrialPage) -> None:
    trial.run("Commit")

    axes = [trial.timeline(backend).locator(".time").all_text_contents() for backend in trial.site.backends]
    assert axes[0][0] == "0.00 ms"
    assert all(axis == axes[0] for axis in axes)


def test_each_scenario_links_to_its_check(trial: TrialPage) -> None:
    for scenario in ALL.values():
        link = trial.page.get_by_role("listitem").filter(
            has=trial.page.get_by_role("button", name=scenario.title, exact=True)
        )
        expect(link.get_by_role("link")).to_contain_text(scenario.check)
    trial.page.get_by_role("link", name="transactions.deadlock").click()

    expect(trial.page.get_by_role("heading", level=1)).to_have_text("transactions.deadlock")
    expect(trial.page.locator("main")).to_contain_text(CHECKS["transactions.deadlock"].claim)


def test_a_leak_is_red_until_it_is_let_go(trial: TrialPage) -> None:
    number = trial.run("Leak a session on purpose")
    for backend in trial.site.backends:
        expect(trial.verdict(backend)).to_contain_text("left open")
        expect(trial.field(backend, "leaked")).to_have_text("1 session left open on purpose")
        expect(trial.field(backend, "sessions")).to_have_text("1")
        red = trial.backend(backend).locator(".leak").evaluate("each => getComputedStyle(each).color")
        assert red == trial.page.locator("b.bad").first.evaluate("each => getComputedStyle(each).color")
    expect(trial.page.locator("rect.session.open")).to_have_count(len(trial.site.backends))

    for backend in trial.site.backends:
        trial.page.get_by_role("button", name=f"Let it go on {backend}").click()
        expect(trial.field(backend, "leaked")).to_have_text("no leak")
        expect(trial.field(backend, "sessions")).to_have_text("0")
        quiet = trial.backend(backend).locator(".leak").evaluate("each => getComputedStyle(each).color")
        assert quiet != red
    trial.page.goto(f"{trial.site.url}/timelines/{number}")
    expect(trial.page.locator("rect.session.open")).to_have_count(0)
    expect(trial.verdict(trial.site.backends[0])).to_contain_text("let go")


def test_timelines_are_kept_opened_and_compared(trial: TrialPage) -> None:
    first, second = trial.run("Commit"), trial.run("Abort with 404")
    history = trial.page.locator("#history")
    expect(history.get_by_role("link", name=f"{first} Commit")).to_be_visible()
    history.get_by_role("checkbox", name=f"Compare timeline {first}", exact=True).check()
    history.get_by_role("checkbox", name=f"Compare timeline {second}", exact=True).check()
    history.get_by_role("button").click()

    expect(trial.page).to_have_url(f"{trial.site.url}/timelines/compare?n={second}&n={first}")
    expect(trial.page.locator("article.result")).to_have_count(2)
    trial.page.get_by_role("link", name=f"timeline {first}", exact=True).click()
    expect(trial.page.get_by_role("heading", name="Commit")).to_be_visible()


def test_the_page_works_without_scripts(open_page: Callable[..., TrialPage]) -> None:
    trial = open_page(java_script_enabled=False)
    trial.page.get_by_role("button", name="Commit", exact=True).click()

    expect(trial.page.get_by_role("heading", name="Commit")).to_be_visible()
    expect(trial.verdict(trial.site.backends[0])).to_contain_text("The session ended as promised.")
