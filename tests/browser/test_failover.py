"""The page of the failover, on a pair that replicates."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.site import Site
from tests.browser.test_accessibility import CONTRASTS, PHONE
from tests.browser.trial_page import TrialPage
from tests.stack.stack import Stack


@pytest.fixture
def site(bare_stack: Stack) -> Iterator[Site]:
    bare_stack.up("first", "second", "gate")
    yield Site(f"http://127.0.0.1:{bare_stack.ports['app']}", ("sqlite",), bare_stack)
    bare_stack.compose("kill", "first", "second", "gate")


@pytest.mark.stops_servers
def test_a_visitor_demotes_and_promotes_and_sees_it_on_one_time_axis(
    open_page: Callable[..., TrialPage],
) -> None:
    page = open_page("/failover").page
    axis = page.get_by_role("img", name=re.compile("transfers in the last 60 seconds"))
    expect(field(page, "first", "role")).to_have_text("primary")
    expect(field(page, "second", "role")).to_have_text("standby")
    expect(field(page, "second", "lag")).to_have_text(re.compile(r"^[\d.]+ (bytes|kB)$"))
    expect(field(page, "first", "command")).to_have_text("docker compose kill first")
    expect(axis.locator("rect.acknowledged").first).to_be_attached()
    expect(page.get_by_role("button", name="Promote second")).to_be_disabled()

    page.get_by_role("button", name="Demote first").click()
    expect(page.get_by_role("status")).to_contain_text("first was demoted in")
    expect(field(page, "first", "role")).to_have_text("demoted")
    page.get_by_role("button", name="Promote second").click()
    expect(field(page, "second", "role")).to_have_text("primary")

    expect(axis.locator("rect.role.demoted")).to_have_count(1)
    expect(axis.locator("text.change")).to_have_text(["demote first", "promote second"])
    expect(field(page, "first", "command")).to_have_text("docker compose restart first")
    expect(page.locator("[data-changes] li")).to_have_count(2)
    expect(page.locator("[data-figure=lost]")).to_have_text("0")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(CONTRASTS) == []
    phone = open_page("/failover", **PHONE)
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 360


def field(page: Page, node: str, name: str) -> Locator:
    return page.locator(f"[data-node={node}] [data-field={name}]")
