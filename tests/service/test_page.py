"""The page for people, in a real browser on the real service."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from lus.service import api_keys, settings
from tests.browser import needs_browser
from tests.conftest import draw_frames, write_video
from tests.service.conftest import Service, serving
from tests.service.pages import choose, opened
from tests.versions import LABELS, LENGTH

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_browser]

DROP = """([bytes, name, type]) => {
  const transfer = new DataTransfer();
  if (name) transfer.items.add(new File([Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0))], name, { type }));
  else transfer.items.add("just text", "text/plain");
  document.getElementById("zone").dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def closed(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service that asks for a key, takes one clip at a time and no large one; and the key."""
    key, known = api_keys.new_key()
    bounds = {api_keys.KEYS: known, settings.REQUESTS: "1", settings.UPLOAD: "1"}
    with serving(served, tmp_path_factory.mktemp("closed"), bounds) as started:
        yield started, key


def _drop(page: Page, content: bytes, name: str, kind: str = "video/x-msvideo") -> None:
    page.evaluate(DROP, [base64.b64encode(content).decode(), name, kind])


def _network(page: Page) -> Callable[[float], None]:
    """How the network is made to take so many bytes a second."""
    # What one session of the browser's tools sets is not undone by another.
    tools = page.context.new_cdp_session(page)

    def emulate(upload: float) -> None:
        bounds = {"offline": False, "latency": 20, "downloadThroughput": 1e6, "uploadThroughput": upload}
        tools.send("Network.emulateNetworkConditions", bounds)

    return emulate


def _large(folder: Path, name: str = "large.avi") -> Path:
    """A usable clip of some hundred kilobytes."""
    path = write_video(folder / name, draw_frames(24, 240, 200, 3, stripes=2))
    assert 3e5 < path.stat().st_size < 1.5e6
    return path


def test_a_clip_that_is_chosen_is_answered_as_the_service_answers_and_sent_without_its_name(
    page: Page, service: Service, clip: Path
) -> None:
    expected = service.post("/classify", clip).json()
    expect(page.get_by_text("For research. Not for diagnosis.")).to_be_visible()
    choose(page, clip)
    result = page.get_by_role("region", name=re.compile(rf"^{expected['label']}: "))
    expect(result).to_be_focused()
    share = f"{100 * expected['probabilities'][expected['label']]:.1f} %"
    expect(page).to_have_title(f"{expected['label']} {share} – lus")
    for label in LABELS:
        bar = page.locator("#bars li", has_text=label)
        expect(bar).to_contain_text(f"{100 * expected['probabilities'][label]:.1f} %")
    expect(result).to_contain_text("Version 1 of lus-classifier")
    expect(result).to_contain_text(clip.name)
    expect(page.locator("#checks")).to_have_text("The clip passed all checks, and they report nothing of it.")
    expect(page.locator("#times")).to_contain_text(re.compile(r"^\d+\.\d\d s to read .*, \d+\.\d\d s to answer"))
    assert page.evaluate("sent") == [[["clip", "clip", clip.stat().st_size]]]


def test_a_clip_that_is_dropped_is_answered(page: Page, service: Service, clip: Path) -> None:
    _drop(page, clip.read_bytes(), clip.name)
    label = service.post("/classify", clip).json()["label"]
    expect(page.locator("#answer")).to_contain_text(f"{label}: ")
    expect(page.locator("#result")).to_be_focused()


def test_the_video_plays_and_the_marker_the_slider_and_the_table_go_with_it(page: Page, clip: Path) -> None:
    choose(page, clip)
    video = page.locator("#overlay")
    page.wait_for_function("() => { const v = document.getElementById('overlay'); return v.currentTime > 0.1; }")
    assert video.evaluate("video => [video.videoWidth, video.loop, video.controls]") == [480, True, True]
    expect(page.locator("#chart .line")).to_have_count(len(LABELS))
    expect(page.locator("#chart .bar")).to_have_count(LENGTH)
    slider = page.get_by_role("slider", name="Frame")
    # While it plays it may be at the end by itself, where the key changes nothing.
    video.evaluate("video => { video.pause(); video.currentTime = 0; }")
    expect(page.locator("#at")).to_contain_text("frame 0 of the clip")
    slider.press("End")
    expect(page.locator("#at")).to_contain_text("frame 23 of the clip")
    assert video.evaluate("video => video.paused && video.currentTime > video.duration / 2")
    last = page.locator("#chart .marker").get_attribute("x")
    box = page.locator("#chart svg").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 60, box["y"] + 100)
    expect(page.locator("#at")).to_contain_text("frame 0 of the clip")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^frame 0 .*importance .*normal .* %, sick .* %$"))
    page.wait_for_function(
        "() => { const v = document.getElementById('overlay'); return v.currentTime < v.duration / 2; }"
    )
    assert float(page.locator("#chart .marker").get_attribute("x") or "") < float(last or "")
    page.get_by_text("The same as a table").click()
    assert page.locator("#table tbody tr").count() == LENGTH


def test_another_label_is_explained_on_request(page: Page, service: Service, clip: Path) -> None:
    choose(page, clip)
    label = service.post("/classify", clip).json()["label"]
    (other,) = set(LABELS) - {label}
    expect(page.get_by_role("button", name=f"Explain {label}", pressed=True)).to_be_visible()
    page.get_by_role("button", name=f"Explain {other}").press("Enter")
    expect(page.get_by_role("button", name=f"Explain {other}", pressed=True)).to_be_focused()
    expect(page.get_by_role("status")).to_have_text(f"Now {other} is explained.")
    expect(page.locator("#heat")).to_contain_text(f"speaks for {other}")
    expect(page.locator("#answer")).to_contain_text(f"{label}: ")


def test_a_refusal_says_what_was_found_what_is_expected_and_what_to_do(
    page: Page, service: Service, short: Path, clip: Path
) -> None:
    body = service.post("/classify", short).json()
    choose(page, short)
    problem = page.get_by_role("region", name="This clip is not usable")
    expect(problem).to_be_focused()
    expect(problem).to_contain_text(body["detail"])
    (finding,) = body["findings"]
    for name in ("found", "expected", "advice"):
        expect(problem.locator("dd", has_text=finding[name]).first).to_be_visible()
    expect(page.get_by_role("button", name="Send it again")).to_be_hidden()
    expect(page.locator("#result")).to_be_hidden()
    choose(page, clip)
    expect(page.locator("#result")).to_be_focused()
    expect(problem).to_be_hidden()


def test_what_the_checks_report_is_listed(page: Page, tmp_path: Path, service: Service) -> None:
    frames = draw_frames(24, 160, 140, 3)
    frames[:, 60:66, 60:72] = (250, 30, 30)
    marked = write_video(tmp_path / "marked.avi", frames)
    (finding,) = service.post("/classify", marked).json()["findings"]
    choose(page, marked)
    entry = page.locator("#findings li")
    expect(entry).to_contain_text(f"{finding['meaning']} is {finding['found']}")
    expect(entry).to_contain_text(finding["advice"])
    expect(page.locator("#checks")).to_contain_text("the checks report of it")


@pytest.mark.parametrize(
    ("content", "name", "kind", "sentence"),
    [
        (b"", "", "", "No file was given; choose a clip, or drop one."),
        (b"", "empty.avi", "video/x-msvideo", "empty.avi is empty, or a folder; choose a clip."),
        (b"%PDF", "a.pdf", "application/pdf", "a.pdf is of the kind application/pdf"),
    ],
)
def test_what_is_no_clip_is_not_sent(page: Page, content: bytes, name: str, kind: str, sentence: str) -> None:
    _drop(page, content, name, kind)
    expect(page.locator("#problem")).to_be_focused()
    expect(page.locator("#detail")).to_contain_text(sentence)
    assert page.evaluate("sent") == []


def test_a_slow_network_shows_progress_and_can_be_cancelled_and_the_clip_sent_again(page: Page, tmp_path: Path) -> None:
    clip = _large(tmp_path)
    network = _network(page)
    network(60e3)
    choose(page, clip)
    expect(page.get_by_role("status")).to_contain_text("Sending large.avi (")
    page.wait_for_function(
        "() => { const p = document.getElementById('progress'); return p.value > 0 && p.value < 1; }"
    )
    expect(page.locator("#share")).to_contain_text(re.compile(r"^\d+\.\d %$"))
    expect(page).to_have_title(re.compile("sending"))
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("region", name="Cancelled")).to_be_focused()
    expect(page.locator("#work")).to_be_hidden()
    network(1e7)
    page.get_by_role("button", name="Send it again").press("Enter")
    expect(page.locator("#result")).to_be_focused()


def test_a_clip_dropped_while_another_is_sent_takes_its_place(page: Page, tmp_path: Path, clip: Path) -> None:
    _network(page)(2e5)
    choose(page, _large(tmp_path))
    expect(page.get_by_role("status")).to_contain_text("Sending large.avi (")
    _drop(page, clip.read_bytes(), clip.name)
    expect(page.locator("#of")).to_contain_text(clip.name)
    expect(page.locator("#problem")).to_be_hidden()


def test_a_lost_connection_is_said_and_the_clip_can_be_sent_again(page: Page, clip: Path) -> None:
    page.context.set_offline(True)
    choose(page, clip)
    expect(page.get_by_role("region", name="There is no answer")).to_be_focused()
    expect(page.locator("#detail")).to_contain_text("This device has no network")
    page.context.set_offline(False)
    page.get_by_role("button", name="Send it again").press("Enter")
    expect(page.locator("#result")).to_be_focused()


def test_a_service_that_is_gone_is_said(
    chromium: Browser, served: Path, tmp_path: Path, clip: Path, service: Service
) -> None:
    with opened(chromium, service.address) as page:
        page.route("**/explain", lambda route: route.abort("connectionreset"))
        choose(page, clip)
        expect(page.locator("#detail")).to_contain_text("The connection to the service was lost")
        page.unroute("**/explain")
        page.get_by_role("button", name="Send it again").click()
        expect(page.locator("#result")).to_be_focused()


def test_a_key_is_asked_for_told_when_it_is_wrong_and_used(
    chromium: Browser, closed: tuple[Service, str], clip: Path
) -> None:
    service, key = closed
    with opened(chromium, service.address) as page:
        box = page.get_by_label("API key", exact=True)
        expect(box).to_be_focused()
        expect(page.locator("#key-why")).to_contain_text("no API key, or one that is not known")
        box.fill("wrong")
        box.press("Enter")
        expect(box).to_be_focused()
        expect(box).to_have_value("")
        choose(page, clip)
        expect(box).to_be_focused()
        box.fill(key)
        box.press("Enter")
        expect(page.locator("#result")).to_be_focused()
        expect(page.locator("#model")).to_contain_text("version 1")
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_a_busy_service_is_asked_again_after_a_while(
    chromium: Browser, closed: tuple[Service, str], clip: Path
) -> None:
    service, key = closed
    address = urlparse(service.address)
    with opened(chromium, service.address) as page, socket.create_connection((address.hostname, address.port)) as other:
        page.get_by_label("API key", exact=True).fill(key)
        page.get_by_role("button", name="Use this key").click()
        expect(page.locator("#model")).to_contain_text("version 1")
        # Somebody whose clip does not get on takes the one place there is.
        other.sendall(
            f"POST /explain HTTP/1.1\r\nHost: lus\r\nAuthorization: Bearer {key}\r\nContent-Length: 1000\r\n"
            "Content-Type: multipart/form-data; boundary=a\r\n\r\n--a".encode()
        )
        choose(page, clip)
        status = page.get_by_role("status")
        expect(status).to_contain_text("The service is busy (clips under way: 1")
        expect(status).to_contain_text("try 2 of 6 follows in 2 s")
        other.close()
        expect(page.locator("#result")).to_be_focused()


def test_a_clip_that_is_too_large_is_told_so(chromium: Browser, closed: tuple[Service, str], tmp_path: Path) -> None:
    service, key = closed
    (tmp_path / "huge.avi").write_bytes(b"x" * (8 << 20))
    with opened(chromium, service.address) as page:
        page.get_by_label("API key", exact=True).fill(key)
        page.get_by_role("button", name="Use this key").click()
        choose(page, tmp_path / "huge.avi")
        expect(page.locator("#detail")).to_contain_text("the upload is larger than 1 MiB; cut the clip")
        expect(page.get_by_role("button", name="Send it again")).to_be_hidden()


def test_the_model_and_its_card_are_shown_as_text(page: Page, service: Service) -> None:
    facts = httpx.get(service.address + "/model").json()
    expect(page.locator("#model")).to_contain_text(f"{facts['name']}, version {facts['version']}")
    expect(page.locator("#model code")).to_have_text(f"lus show {facts['lineage']}")
    page.get_by_text("Model card").first.click()
    expect(page.locator("#card-text h3")).to_have_text("Model card")


def test_a_card_is_rendered_and_no_markup_of_it_is_read(page: Page, service: Service) -> None:
    card = (
        "# A\n\n**Use:** `x` <img src=y onerror=z>\n## B\n- one\n- two\n\n| a | b |\n| --- | --- |\n| 1 \\| 2 | 3 |\n"
    )
    shown = page.evaluate(
        "async (card) => { const { rendered } = await import('/page/card.js');"
        "const made = document.createElement('div'); made.append(...rendered(card, 3)); return made.innerHTML; }",
        card,
    )
    assert "<h3>A</h3><p><strong>Use:</strong> <code>x</code> &lt;img src=y onerror=z&gt;</p><h4>B</h4>" in shown
    assert "<ul><li>one</li><li>two</li></ul>" in shown
    assert '<th scope="col">a</th><th scope="col">b</th>' in shown
    assert "<tr><td>1 | 2</td><td>3</td></tr>" in shown
