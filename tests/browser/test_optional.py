"""A server of a profile has a column of the page once it has answered."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.site import Site
from tests.browser.trial_page import TrialPage
from tests.stack.stack import BUILD_SECONDS, Stack


@pytest.mark.stops_servers
def test_mariadb_gets_a_column_without_a_reload_by_the_visitor(browser: Browser, bare_stack: Stack) -> None:
    site = Site(f"http://127.0.0.1:{bare_stack.ports['app']}", ("sqlite",), bare_stack)
    trial = TrialPage(site, browser)
    trial.page.goto(trial.site.url)
    expect(trial.field("sqlite", "status")).to_have_text("reachable")
    expect(trial.backend("mariadb")).to_have_count(0)
    bare_stack.compose("--profile", "mariadb", "up", "--build", "--wait", "mariadb", seconds=BUILD_SECONDS)
    expect(trial.field("mariadb", "status")).to_have_text("reachable")
    trial.send_to("mariadb")
    trial.run("Commit")
    expect(trial.verdict("mariadb")).to_contain_text("The session ended as promised.")
    bare_stack.compose("stop", "mariadb")
    expect(trial.field("mariadb", "status")).to_have_text("not reachable")
    errors = trial.errors
    trial.close()

    assert errors == []
