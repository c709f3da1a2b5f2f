"""The page updates its status without a reload."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.opened import Opened

# The places of all elements beside and below the status.
PLACES = """() => [...document.querySelectorAll("[data-backend], [data-backend] > *, .doing, .doing > *")]
    .map((each) => { const { x, y, width, height } = each.getBoundingClientRect();
                     return [x, y + scrollY, width, height].map(Math.round).join(" "); })"""


def test_the_page_shows_the_status_of_each_backend(opened: Opened) -> None:
    for name in opened.site.backends:
        expect(opened.field(name, "status")).to_have_text("reachable")
        expect(opened.field(name, "version")).to_have_text(re.compile(r"^\d+\.\d+"))
        expect(opened.field(name, "checked_out")).to_have_text("0")
        opened.backend(name).get_by_text("Driver options").click()
        expect(opened.backend(name).locator(".options")).to_contain_text("timeout")


def test_the_status_shows_an_empty_pool(opened: Opened) -> None:
    opened.page.get_by_role("button", name="Empty the pool").click()

    for name in opened.site.backends:
        expect(opened.field(name, "checked_out")).to_have_text("15")
        expect(opened.field(name, "overflow")).to_have_text("10")
    opened.wait_for_result(0)
    for name in opened.site.backends:
        expect(opened.field(name, "checked_out")).to_have_text("0")


def test_the_layout_does_not_move(opened: Opened) -> None:
    before = opened.page.evaluate(PLACES)
    opened.page.get_by_role("button", name="Leak a session on purpose").click()
    for name in opened.site.backends:
        expect(opened.field(name, "leaked")).to_have_text("1 session left open on purpose")
    leaked = opened.page.evaluate(PLACES)
    for name in opened.site.backends:
        opened.page.get_by_role("button", name=f"Let it go on {name}").click()
        expect(opened.field(name, "leaked")).to_have_text("no leak")

    assert leaked == before


@pytest.mark.stops_servers
@pytest.mark.parametrize("name", ["postgresql", "mysql"])
def test_the_status_follows_a_database_that_stops_and_starts(opened: Opened, name: str) -> None:
    stack = opened.site.stack
    assert stack is not None
    others = [each for each in opened.site.backends if each != name]
    opened.run("Leak a session on purpose")
    before = opened.page.evaluate(PLACES)
    stack.compose("stop", name)
    try:
        expect(opened.field(name, "status")).to_have_text("not reachable")
        expect(opened.field(name, "error")).not_to_be_empty()
        expect(opened.field(name, "leaked")).to_have_text("1 session left open on purpose")
        for other in others:
            expect(opened.field(other, "status")).to_have_text("reachable")
        assert opened.page.evaluate(PLACES) == before
        opened.run("Commit")
        expect(opened.verdict(name)).to_contain_text("no database")
        expect(opened.verdict(name)).to_contain_text("The app answered 503 SERVICE UNAVAILABLE")
        for other in others:
            expect(opened.verdict(other)).to_contain_text("The session ended as promised.")
        for each in opened.site.backends:
            opened.page.get_by_role("button", name=f"Let it go on {each}").click()
            expect(opened.field(each, "leaked")).to_have_text("no leak")
    finally:
        stack.compose("start", name)

    expect(opened.field(name, "status")).to_have_text("reachable")
    expect(opened.field(name, "error")).to_be_empty()
    opened.run("Commit")
    expect(opened.verdict(name)).to_contain_text("The session ended as promised.")


@pytest.mark.stops_servers
def test_the_page_says_when_its_server_does_not_answer(open_page: Callable[..., Opened]) -> None:
    opened = open_page()
    assert opened.site.stack is not None
    lost = opened.page.get_by_text("The server of this page does not answer")
    expect(lost).to_be_hidden()
    opened.tolerated = "ERR_"
    opened.site.stack.compose("stop", "app")
    try:
        expect(lost).to_be_visible()
    finally:
        opened.site.stack.compose("start", "app")

    expect(lost).to_be_hidden()
    opened.tolerated = "403"
    opened.page.get_by_role("button", name="Commit", exact=True).click()
    expect(opened.page.get_by_role("status")).to_contain_text("Load it again.")
