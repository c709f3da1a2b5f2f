"""The protection of the page: tokens, origins and security headers."""

import re

import pytest

from flask_sqlalchemy_testbed.backends.base import Backend
from tests.trials.conftest import Reader, Visitor


@pytest.mark.parametrize("path", ["/", "/state.json", "/timelines/1", "/healthz", "/static/trial.css"])
def test_responses_forbid_content_of_other_sites(visitor: Visitor, path: str) -> None:
    policy = visitor.get(path).headers["Content-Security-Policy"]

    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_page_has_no_inline_script_or_style(visitor: Visitor) -> None:
    visitor.run("commit")
    page = visitor.get("/").text

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?! type=\"module\" src=\"/static)", page)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", page)


@pytest.mark.parametrize("path", ["/scenarios", "/ledger", "/leaks"])
@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {"token": ""}),
        ({}, {"token": "guessed"}),
        ({"Origin": "http://elsewhere.example"}, {}),
        ({"Origin": "http://localhost:8001"}, {}),
        ({"Origin": "null"}, {}),
        ({"Sec-Fetch-Site": "same-site"}, {}),
        ({"Sec-Fetch-Site": "cross-site"}, {}),
        ({"Host": "elsewhere.example", "Origin": "http://elsewhere.example"}, {}),
    ],
)
def test_forms_of_other_sites_are_refused(
    visitor: Visitor, path: str, headers: dict[str, str], form: dict[str, str]
) -> None:
    visitor.get("/")
    asked = {"scenario": "commit", "operation": "list-accounts", **form}

    assert visitor.post(path, headers, **asked).status_code == 403
    assert "Nothing has been tried yet" in visitor.get("/").text


def test_a_form_without_a_token_is_refused(visitor: Visitor) -> None:
    assert visitor.get("/").headers["Set-Cookie"].endswith("; HttpOnly; Path=/; SameSite=Strict")
    answer = visitor.client.post("/scenarios", data={"scenario": "commit"})

    assert answer.status_code == 403
    assert "older than the process" in answer.text


def test_a_form_without_the_cookie_is_refused(visitor: Visitor) -> None:
    for token in ("", "None", visitor.token):
        stranger = Reader(visitor.client.application)
        assert stranger.post("/scenarios", data={"scenario": "commit", "token": token}).status_code == 403


def test_another_host_name_of_this_machine_is_refused(visitor: Visitor) -> None:
    """Use a name that another site has pointed to this machine (DNS rebinding)."""
    there = {"base_url": "http://elsewhere.example"}
    page = visitor.client.get("/", **there).text
    token = re.findall(r'name="token" value="([^"]+)"', page)[0]
    form = {"token": token, "scenario": "commit"}

    assert visitor.client.post("/scenarios", data=form, **there).status_code == 403


def test_other_sites_cannot_read_the_status(visitor: Visitor) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert visitor.get("/state.json", **foreign).status_code == 403
    assert visitor.get("/", **link).status_code == 200


def test_a_scenario_cannot_be_run_from_outside(visitor: Visitor, testbed_backend: Backend) -> None:
    answer = visitor.get(f"/{testbed_backend.name}/trial/commit", **{"trials.view": "x", "Trials-View": "x"})

    assert answer.status_code == 404
