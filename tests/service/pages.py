"""The service's page, opened in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Browser, Page, expect

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.blockedURI));
window.sent = [];
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (form) {
  sent.push([...form.entries()].map(([field, file]) => [field, file.name, file.size]));
  return send.call(this, form);
};
"""


@contextmanager
def opened(chromium: Browser, address: str, **context: object) -> Iterator[Page]:
    """The page, opened afresh: it must ask no other host, break no content policy, and have no error of its own."""
    own = chromium.new_context(**context)  # type: ignore[arg-type]
    page = own.new_page()
    page.add_init_script(WATCH)
    page.set_default_timeout(20_000)
    # Five seconds by themselves, which a busy machine may need to answer.
    expect.set_options(timeout=20_000)
    hosts, faults = set(), []
    page.on("request", lambda request: hosts.add(urlparse(request.url).netloc))
    page.on("pageerror", lambda error: faults.append(str(error)))
    # An answer with another status than 200 is listed by the browser; what else is, is the page's fault.
    page.on(
        "console",
        lambda message: (
            faults.append(message.text)
            if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    try:
        page.goto(address + "/")
        expect(page.locator("#model")).not_to_be_empty()
        yield page
        assert page.evaluate("violations") == []
        assert faults == []
        assert hosts - {""} == {urlparse(address).netloc}
    finally:
        own.close()


def choose(page: Page, clip: Path) -> None:
    """Choose a file as a user does."""
    page.get_by_label("Drop a clip here, or choose one").set_input_files(clip)
