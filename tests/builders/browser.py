"""A headless Chromium for tests of pages, driven by playwright."""

import contextlib
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60_000  # milliseconds; only against hanging


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The machine's own, or the one that playwright has fetched. Skips where there is none."""
    if find_spec("playwright") is None:
        pytest.skip("needs playwright (pip install playwright) and a Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = next(filter(None, map(shutil.which, NAMES)), None)
        if path is None and not Path(driver.chromium.executable_path).is_file():
            pytest.skip("needs a Chromium: apt install chromium, or playwright install chromium")
        browser = driver.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Any, url: str, **looks: Any) -> Iterator[Any]:
    """A page in a context of its own. Nothing may be thrown in it or refused by its policy."""
    context = browser.new_context(**looks)
    context.set_default_timeout(PATIENCE)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if "Security Policy" in told.text else None)
    page.goto(url)
    yield page
    context.close()
    assert wrong == []
