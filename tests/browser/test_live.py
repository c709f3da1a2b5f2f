"""The page updates its status without a reload."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.trial_page import TrialPage

# The places of all elements beside and below the status.
PLACES = """() => [...document.querySelectorAll("[data-backend], [data-backend] > *, .doing, .doing > *")]
    .map((each) => { const { x, y, width, height } = each.getBoundingClientRect();
                     return [x, y + scrollY, width, height].map(Math.round).join(" "); })"""


def test_the_page_shows_the_status_of_each_backend(trial: TrialPage) -> None:
    for name in trial.site.backends:
        expect(trial.field(name, "status")).to_have_text("reachable")
        expect(trial.field(name, "version")).to_have_text(re.compile(r"^\d+\.\d+"))
        expect(trial.field(name, "checked_out")).to_have_text("0")
        trial.backend(name).get_by_text("Driver options").click()
        expect(trial.backend(name).locator(".options")).to_contain_text("timeout")


def test_the_status_shows_an_empty_pool(trial: TrialPage) -> None:
    trial.page.get_by_role("button", name="Empty the pool").click()

    for name in trial.site.backends:
        expect(trial.field(name, "checked_out")).to_have_text("15")
        expect(trial.field(name, "overflow")).to_have_text("10")
    trial.wait_for_result(0)
    for name in trial.site.backends:
        expect(trial.field(name, "checked_out")).to_have_text("0")


def test_the_layout_does_not_move(trial: TrialPage) -> None:
    before = trial.page.evaluate(PLACES)
    trial.page.get_by_role("button", name="Leak a session on purpose").click()
    for name in trial.site.backends:
        expect(trial.field(name, "leaked")).to_have_text("1 session left open on purpose")
    leaked = trial.page.evaluate(PLACES)
    for name in trial.site.backends:
        trial.page.get_by_role("button", name=f"Let it go on {name}").click()
        expect(trial.field(name, "leaked")).to_have_text("no leak")

    assert leaked == before


@pytest.mark.stops_servers
@pytest.mark.parametrize("name", ["postgresql", "mysql"])
def test_the_status_follows_a_database_that_stops_and_starts(trial: TrialPage, name: str) -> None:
    stack = trial.site.stack
    assert stack is not None
    others = [each for each in trial.site.backends if each != name]
    trial.run("Leak a session on purpose")
    before = trial.page.evaluate(PLACES)
    stack.compose("stop", name)
    try:
        expect(trial.field(name, "status")).to_have_text("not reachable")
        expect(trial.field(name, "error")).not_to_be_empty()
        expect(trial.field(name, "leaked")).to_have_text("1 session left open on purpose")
        for other in others:
            expect(trial.field(other, "status")).to_have_text("reachable")
        assert trial.page.evaluate(PLACES) == before
        trial.run("Commit")
        expect(trial.verdict(name)).to_contain_text("no database")
        expect(trial.verdict(name)).to_contain_text("The app answered 503 SERVICE UNAVAILABLE")
        for other in others:
            expect(trial.verdict(other)).to_contain_text("The session ended as promised.")
        for each in trial.site.backends:
            trial.page.get_by_role("button", name=f"Let it go on {each}").click()
            expect(trial.field(each, "leaked")).to_have_text("no leak")
    finally:
        stack.compose("start", name)

    expect(trial.field(name, "status")).to_have_text("reachable")
    expect(trial.field(name, "error")).to_be_empty()
    trial.run("Commit")
    expect(trial.verdict(name)).to_contain_text("The session ended as promised.")


@pytest.mark.stops_servers
def test_the_page_says_when_its_server_does_not_answer(open_page: Callable[..., TrialPage]) -> None:
    trial = open_page()
    assert trial.site.stack is not None
    lost = trial.page.get_by_text("The server of this page does not answer")
    expect(lost).to_be_hidden()
    trial.expected_error = "ERR_"
    trial.site.stack.compose("stop", "app")
    try:
        expect(lost).to_be_visible()
    finally:
        trial.site.stack.compose("start", "app")

    expect(lost).to_be_hidden()
    trial.expected_error = "403"
    trial.page.get_by_role("button", name="Commit", exact=True).click()
    expect(trial.page.get_by_role("status")).to_contain_text("Load it again.")
