"""The HTML page of the report, without a browser."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.report import html, pages
from flask_sqlalchemy_testbed.timeline.drawing import MAX_EVENTS, MAX_ROWS, draw
from tests.harness.reports import EVENTS, POWER, report

# The attributes that make a browser load a file.
FETCHES = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "manifest"}
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page, each with its text and the elements around it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[dict[str, Any]] = []
        self._open: list[dict[str, Any]] = []
        self.mismatched: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = {
            "tag": tag,
            "text": "",
            "attributes": dict(attrs),
            "in": [one["tag"] for one in self._open],
        }
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append({"tag": tag, "text": "", "attributes": dict(attrs), "in": []})

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop()["tag"] != tag:
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element["text"] += data

    def find(self, tag: str, **attributes: str) -> list[dict[str, Any]]:
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}.items()
        return [one for one in self.elements if one["tag"] == tag and wanted <= one["attributes"].items()]

    def with_id(self, name: str) -> dict[str, Any]:
        (element,) = [one for one in self.elements if one["attributes"].get("id") == name]
        return element


@pytest.fixture
def page() -> Page:
    return Page(html.render(report(), power=POWER["specimens"]))


def test_the_page_is_well_formed(page: Page) -> None:
    ids = [one["attributes"]["id"] for one in page.elements if "id" in one["attributes"]]

    assert page.mismatched == []
    assert len(ids) == len(set(ids))


def test_every_link_within_the_page_has_a_target(page: Page) -> None:
    ids = {one["attributes"].get("id") for one in page.elements}
    links = [one["attributes"]["href"] for one in page.find("a")]

    assert {link[1:] for link in links if link.startswith("#")} <= ids
    reports = {case.url for row in report()["checks"] for case in reported(row["cases"])} - {""}
    assert {link for link in links if not link.startswith("#")} == {*reports, "https://example.org/thread"}


def test_every_cell_links_to_its_evidence(page: Page) -> None:
    cells = [one for one in page.find("a") if "cell" in one["attributes"].get("class", "").split()]

    assert [cell["attributes"]["aria-label"] for cell in cells] == [
        "binding.holds on postgresql: passed",
        "lifecycle.breaks on postgresql: failed",
        "faults.elsewhere on postgresql: not applicable",
    ]
    assert [cell["text"].split() for cell in cells] == [["✓", "passed"], ["✗", "failed"], ["·", "n/a"]]
    holds, breaks, elsewhere = (page.with_id(cell["attributes"]["href"][1:])["text"] for cell in cells)
    assert all(words in holds for words in ("SELECT '<b>'", "connection 1, 1.2 ms", "logged nothing"))
    assert all(words in breaks for words in ("E assert 1 == 2", "LOG:  a line of the server", "printed"))
    assert "postgresql lacks glass" in elsewhere


def test_the_evidence_has_a_picture_and_a_list_of_events(page: Page) -> None:
    pictures = page.find("svg")
    said = [one["text"] for one in page.find("li")]

    assert len(pictures) == 2
    assert pictures[0]["attributes"]["aria-label"] == "2 statements, 1 context, 1 session, 2 connections"
    assert any("GET /<script>" in line and "context 1 · MainThread" in line for line in said)


def test_the_page_loads_no_other_file(page: Page) -> None:
    text = html.render(report(), power=POWER["specimens"])

    assert not [one for one in page.elements if FETCHES & one["attributes"].keys() or one["tag"] == "link"]
    assert "@import" not in text
    assert "url(" not in text
    (policy,) = page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["attributes"]["content"].startswith("default-src 'none'")


def test_texts_of_the_app_are_escaped(page: Page) -> None:
    assert len(page.find("script")) == 1
    assert not [one for one in page.find("b") if one["text"] == "'"]


def test_failures_have_reported_cases_and_remedies(page: Page) -> None:
    failures = page.with_id("failures")["text"]

    assert all(words in failures for words in ("lifecycle.breaks", "It breaks.", "assert 1 == 2", "Mend it."))
    assert "One app silently reads another app's database. level12/keg#96" in failures
    assert "binding.holds" not in failures


def test_the_table_of_wrong_bindings_shows_the_failing_checks(page: Page) -> None:
    power = page.with_id("power")["text"]

    assert "The session is never removed." in power
    assert "no check fails" in power
    (link,) = [one for one in page.find("a", class_="caught") if "b" in one["in"]]
    assert link["attributes"]["href"] == "#lifecycle.breaks"


def test_the_page_has_versions_and_settings(page: Page) -> None:
    versions = page.with_id("versions")["text"]

    assert all(words in versions for words in ("3.14.0", "18.1", "fsync", "off", "2026-01-02 03:04:05 UTC"))


def test_the_page_has_styles_for_dark_mode_and_phones(page: Page) -> None:
    (style,) = page.find("style")

    assert "prefers-color-scheme: dark" in style["text"]
    assert "max-width" in style["text"]
    assert page.find("meta", name="viewport")


def test_a_report_without_evidence_says_so() -> None:
    bare = report()
    bare["evidence"] = {}
    page = Page(html.render(bare, power=[]))

    assert "has no evidence" in page.with_id("binding.holds--postgresql")["text"]


def test_a_timeline_without_events_has_no_picture() -> None:
    assert draw([]) == ""


def test_a_long_timeline_is_cut() -> None:
    events = [
        {"at": number / 1000, "kind": "connection checked out", "thread": "t", "connection": number}
        for number in range(MAX_EVENTS + 100)
    ]
    picture = Page(draw(events))

    assert len(picture.find("rect")) == MAX_ROWS
    assert f"and {MAX_EVENTS - MAX_ROWS} more" in [one["text"] for one in picture.find("text")]


def test_overlapping_bars_are_in_different_rows() -> None:
    def context(number: int, begins: float, ends: float) -> list[dict[str, Any]]:
        return [
            {"at": begins, "kind": "context pushed", "thread": "t", "context": number},
            {"at": ends, "kind": "context popped", "thread": "t", "context": number},
        ]

    events = [*context(1, 0.0, 0.2), *context(2, 0.1, 0.3), *context(3, 0.4, 0.5)]
    bars = Page(draw(sorted(events, key=lambda event: event["at"]))).find("rect")

    first, second, third = (bar["attributes"]["y"] for bar in bars)
    assert first == third != second


def test_bars_without_an_end_are_marked() -> None:
    picture = Page(draw(EVENTS[:-1]))

    assert len(picture.find("rect", class_="context open")) == 1
    assert len(picture.find("rect", class_="session open")) == 0


def test_all_files_are_written_and_power_is_found_beside_them(tmp_path: Path) -> None:
    (tmp_path / "power.json").write_text(json.dumps(POWER))
    pages.write(tmp_path / "report", report())

    written = {path.name for path in (tmp_path / "report").iterdir()}
    assert written == {".gitignore", "index.html", "summary.md", "matrix.json", "evidence.json"}
    assert "no_remove" in (tmp_path / "report" / "index.html").read_text()
    assert "evidence" not in json.loads((tmp_path / "report" / "matrix.json").read_text())
