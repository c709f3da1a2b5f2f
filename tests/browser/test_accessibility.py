"""Accessibility of the page: keyboard, phone, screen reader, contrast in light and dark."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.trial_page import TrialPage

PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
PAGES = ("/", "/timelines/{0}", "/timelines/compare?n={0}&n={1}", "/checks/lifecycle.held-stream", "/nowhere")

HAS_A_RING = """() => {
    const at = document.activeElement;
    const shown = at.matches("[type=radio]") ? at.nextElementSibling : at;
    const style = getComputedStyle(shown);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""
NAME = "() => (document.activeElement.innerText || document.activeElement.value || '').trim()"

# The visible texts with too little contrast to their background.
CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const light = (color) => {
        const [r, g, b] = rgba(color).slice(0, 3).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = getComputedStyle(at).backgroundColor;
            if (rgba(color)[3] === 255) return color;
        }
        return "white";
    };
    const found = [];
    for (const element of document.querySelectorAll("body *:not(svg *):not(script)")) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${element.tagName} ${element.textContent.trim()}`);
    }
    return found;
}"""


def tab_to(page: Page, name: str) -> None:
    """Press Tab until an element has the focus; each element on the way must show its focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        assert page.evaluate(HAS_A_RING), page.evaluate("document.activeElement.outerHTML")
        if page.evaluate(NAME).startswith(name):
            return
    pytest.fail(f"{name!r} has no focus after 100 times Tab.")


def test_the_keyboard_alone_is_enough(trial: TrialPage) -> None:
    page = trial.page
    tab_to(page, "Skip to the content")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, "Driver options")
    page.keyboard.press("Enter")
    expect(trial.backend(trial.site.backends[0]).locator(".options")).to_be_visible()
    if len(trial.site.backends) > 1:
        tab_to(page, "all")
        page.keyboard.press("ArrowRight")
    tab_to(page, "Commit")
    page.keyboard.press("Enter")
    trial.wait_for_result(0)

    expect(trial.verdict("sqlite")).to_contain_text("kept")
    expect(page.locator("[data-verdict]")).to_have_count(1)
    expect(page.get_by_role("button", name="Commit", exact=True)).to_be_focused()
    tab_to(page, "Events on sqlite")
    page.keyboard.press("Space")
    expect(page.locator("details.words li").first).to_be_visible()


def test_the_verdict_is_announced_to_screen_readers(trial: TrialPage) -> None:
    trial.run("Commit")

    said = trial.page.get_by_role("status")
    expect(said).to_contain_text(f"Commit: kept on {', '.join(trial.site.backends)}.")
    expect(said).to_have_attribute("aria-live", "polite")


def test_a_phone_does_not_scroll_sideways(open_page: Callable[..., TrialPage]) -> None:
    trial = open_page(**PHONE)
    numbers = [trial.run(title) for title in ("Commit", "Empty the pool")]
    trial.expected_error = "404"

    for path in PAGES:
        trial.page.goto(trial.site.url + path.format(*numbers))
        assert trial.page.evaluate("document.documentElement.scrollWidth") == 360, path


def test_on_a_phone_the_result_comes_into_view(open_page: Callable[..., TrialPage]) -> None:
    trial = open_page(**PHONE)
    trial.run("Commit")

    expect(trial.result("Commit")).to_be_focused()
    expect(trial.result("Commit")).to_be_in_viewport()
    trial.page.get_by_role("link", name="Back to the scenarios").click()
    expect(trial.page.get_by_role("button", name="Commit", exact=True)).to_be_in_viewport()


def test_buttons_are_large_enough_on_a_phone(open_page: Callable[..., TrialPage]) -> None:
    trial = open_page(**PHONE)
    trial.run("Leak a session on purpose")
    sizes = trial.page.locator("button:visible, select:visible, input:visible").evaluate_all(
        "all => all.map(each => [each.getBoundingClientRect().height, each.outerHTML])"
    )
    for backend in trial.site.backends:
        trial.page.get_by_role("button", name=f"Let it go on {backend}").click()
        expect(trial.field(backend, "leaked")).to_have_text("no leak")

    assert [html for height, html in sizes if height < 24 and "checkbox" not in html] == []


def test_every_text_has_enough_contrast(open_page: Callable[..., TrialPage]) -> None:
    trial = open_page(reduced_motion="reduce")
    numbers = [trial.run(title) for title in ("Leak a session on purpose", "Two requests that deadlock")]
    expect(trial.field("sqlite", "leaked")).to_have_text("1 session left open on purpose")
    trial.expected_error = "404"
    faint = {}
    # The first page shows the result of the last scenario only until it is left.
    for path in PAGES:
        if path != "/":
            trial.page.goto(trial.site.url + path.format(*numbers))
        for scheme in ("light", "dark"):
            trial.page.emulate_media(color_scheme=scheme)
            faint[path, scheme] = trial.page.evaluate(CONTRASTS)
    trial.page.goto(trial.site.url)
    for backend in trial.site.backends:
        trial.page.get_by_role("button", name=f"Let it go on {backend}").click()
        expect(trial.field(backend, "leaked")).to_have_text("no leak")

    assert {where: texts for where, texts in faint.items() if texts} == {}


def test_light_and_dark_have_different_colours(open_page: Callable[..., TrialPage]) -> None:
    colors = {
        open_page(color_scheme=scheme).page.evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }

    assert len(colors) == 2
