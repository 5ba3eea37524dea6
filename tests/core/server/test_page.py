"""The page at `/` as it is sent: one file, its policy, and who may have it."""

import asyncio
import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from speccas.core.looks.faces import FACES
from speccas.core.looks.legend import MEANINGS
from speccas.core.server.access import Access
from speccas.core.server.app import Service, make_app
from speccas.core.visible import javascript_class, visible
from tests.core.server.test_waiting import CATALOGUE, DEFAULTS, idle_line


def get(path: str, host: str = "localhost", key: str = "", method: str = "GET") -> httpx.Response:
    async def ask() -> httpx.Response:
        access = Access(key, frozenset({"localhost"}))
        app: Any = make_app(Service(idle_line(), CATALOGUE, DEFAULTS, lambda: 1), access)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}") as asking:
            return await asking.request(method, path)

    return asyncio.run(ask())


class Parts(HTMLParser):
    """The texts of a page's style and scripts, and all its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self.inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        self.inside = tag + "".join(f" {value}" for name, value in attrs if name == "type" and tag == "script")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.inside, []).append(data)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080"])
def test_it_is_one_file_that_needs_nothing_from_elsewhere(host: str) -> None:
    found = get("/", host)
    assert found.status_code == 200 and found.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", found.text)
    linked = [value for name, value in Parts(found.text).attributes if name in ("src", "href", "action", "srcset")]
    assert linked == ["data:,"]
    assert len(found.text) < 60_000


def test_its_policy_lets_nothing_run_but_its_own_script() -> None:
    found = get("/")
    policy = dict(part.split(" ", 1) for part in found.headers["content-security-policy"].split("; "))
    texts = Parts(found.text).texts
    for kind, name in (("style", "style-src"), ("script", "script-src")):
        (text,) = texts[kind]
        assert policy[name] == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert (policy["default-src"], policy["connect-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert policy["require-trusted-types-for"] == "'script'"
    names = {name for name, _ in Parts(found.text).attributes}
    assert not [name for name in names if name == "style" or name.startswith("on")]
    assert found.headers["x-content-type-options"] == "nosniff" and found.headers["referrer-policy"] == "no-referrer"


def test_it_needs_no_key_but_a_name_of_this_machine() -> None:
    assert get("/", key="secret").status_code == 200
    assert get("/v1/models", key="secret").status_code == 401
    assert get("/", host="page.example").status_code == 403
    assert get("/", method="HEAD").text == "" and get("/", method="DELETE").status_code == 405


def test_it_has_the_looks_and_the_legend_of_an_export() -> None:
    text = get("/").text
    (style,) = Parts(text).texts["style"]
    light, _, dark = style.partition(".legend .plain")
    for status in ("agreed", "kept", "deferred", "agreed copied"):
        selector, face = "." + status.replace(" ", "."), FACES[status]
        assert f"{selector} {{ {face.css()} }}" in light and f"{selector} {{ {face.night()} }}" in dark
    for word in ("agreed", "kept", "deferred", "copied", "q", "p"):
        assert MEANINGS[word].replace("'", "&#39;") in text


def test_javascript_has_the_same_characters_as_visible() -> None:
    found = re.compile(re.sub(r"\\u\{(\w+)\}", lambda code: re.escape(chr(int(code[1], 16))), javascript_class()))
    for code in range(0x110000):
        text = chr(code)
        if text != "\t" and not 0xDC80 <= code <= 0xDCFF:
            assert bool(found.match(text)) == (visible(text) != text), hex(code)
