"""Take docs/page.png and docs/page-dark.png: the served page with a chat of two turns, in a headless Chromium.

python scripts/page_picture.py http://127.0.0.1:8080 [MODEL]      needs a running `speccas serve`, and playwright
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
ASKED = ("Name three primary colours.", "Write a sentence about each of them.")


def take(browser: Any, url: str, model: str, scheme: str, path: Path) -> None:
    """A chat, with the pointer at a deferred token."""
    from tests.builders.browser import opened

    with opened(browser, url, color_scheme=scheme, viewport={"width": 900, "height": 880}) as page:
        page.wait_for_selector("#send:enabled")
        if model:
            page.select_option("#model", model)
        for text in ASKED:
            page.fill("#prompt", text)
            page.press("#prompt", "Enter")
            page.wait_for_selector("#stop", state="visible")
            page.wait_for_selector("#send", state="visible", timeout=300_000)
        page.locator(".turn:last-of-type .t:has(.deferred)").nth(2).hover()
        page.screenshot(path=path)


if __name__ == "__main__":
    from tests.builders.browser import chromium

    with chromium() as found:
        for scheme, name in (("light", "page.png"), ("dark", "page-dark.png")):
            take(found, sys.argv[1], " ".join(sys.argv[2:3]), scheme, ROOT / "docs" / name)
