"""Debian's chromium, without a window, for the tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")

needs_browser = pytest.mark.skipif(_PROGRAM is None, reason="needs chromium: install Debian's package chromium")


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser, ended by who began it."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=_PROGRAM, args=FLAGS)
        try:
            yield started
        finally:
            started.close()
