"""The page for everyone: keyboard, screen readers, colours, narrow screens, no motion."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import needs_browser
from tests.service.conftest import Service
from tests.service.pages import choose, opened
from tests.versions import LABELS

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_browser]


def test_the_keyboard_alone_is_enough(page: Page, clip: Path) -> None:
    # Playwright must listen a while before the key is pressed: the first dialogue may else open past it.
    page.on("filechooser", lambda _: None)
    page.keyboard.press("Tab")
    chosen = page.locator("#file")
    expect(chosen).to_be_focused()
    assert (
        chosen.evaluate("input => input.matches(':focus-visible') && getComputedStyle(input).outlineStyle") == "solid"
    )
    with page.expect_file_chooser() as opened:
        page.keyboard.press("Enter")
    opened.value.set_files(clip)
    expect(page.locator("#result")).to_be_focused()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    wanted = ["overlay", *(f"Explain {label}" for label in LABELS), "frame", "The same as a table", "Model card"]
    assert [one for one in dict.fromkeys(reached) if one in wanted] == wanted


def test_every_control_has_a_name_and_headings_are_in_order(page: Page, clip: Path) -> None:
    choose(page, clip)
    expect(page.locator("#result")).to_be_focused()
    for summary in page.locator("summary").all():
        summary.click()
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = [node for node in tree if not node["ignored"]]
    controls = {"button", "textbox", "slider", "link", "image", "region", "form", "DisclosureTriangle", "Video"}
    found = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if node["role"]["value"] in controls
    ]
    assert {"button", "slider", "image", "region", "DisclosureTriangle"} <= {role for role, _ in found}
    assert [one for one in found if not one[1].strip()] == []
    levels = page.locator("h1, h2, h3, h4, h5, h6").evaluate_all(
        "all => all.filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), levels
    assert page.locator("html").get_attribute("lang") == "en"


CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = channels(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    throw new Error("no ground");
  };
  const ratio = (...colours) => {
    const [dark, bright] = colours.map(luminance).sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.closest("[aria-hidden=true]")) continue;
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    if (own) found.push([4.5, ratio(colour, ground(element)), element.outerHTML]);
  }
  for (const element of document.querySelectorAll(".fill, .line"))
    found.push([3, ratio(getComputedStyle(element).color, ground(element.parentElement)), element.outerHTML]);
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_in_both_schemes(
    chromium: Browser, service: Service, clip: Path, short: Path, scheme: str
) -> None:
    with opened(chromium, service.address, color_scheme=scheme) as page:
        for file, end in ((short, "#problem"), (clip, "#result")):
            choose(page, file)
            expect(page.locator(end)).to_be_focused()
            found = page.evaluate(CONTRASTS)
            assert len(found) > 15
            assert [one for one in found if one[1] < one[0]] == []


def test_the_page_fits_a_narrow_screen(chromium: Browser, service: Service, clip: Path, short: Path) -> None:
    with opened(chromium, service.address, viewport={"width": 320, "height": 640}) as page:
        for file, end in ((short, "#problem"), (clip, "#result")):
            choose(page, file)
            expect(page.locator(end)).to_be_focused()
            for summary in page.locator("summary:visible").all():
                summary.click()
            assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_nothing_moves_by_itself_where_that_is_not_wanted(chromium: Browser, service: Service, clip: Path) -> None:
    with opened(chromium, service.address, reduced_motion="reduce") as page:
        choose(page, clip)
        expect(page.locator("#result")).to_be_focused()
        page.wait_for_function("() => document.getElementById('overlay').readyState > 1")
        page.wait_for_timeout(300)
        assert page.locator("#overlay").evaluate("video => [video.paused, video.currentTime]") == [True, 0]
