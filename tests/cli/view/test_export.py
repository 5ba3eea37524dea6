"""Exported files: whole, readable by strict parsers, without script or network, whatever the trace holds."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.export import to_html, to_svg
from speccas.cli.view.flow import cells
from speccas.core.decoding.events import Judged, Opinion, Piece, Started, Status, Token
from speccas.core.looks.faces import FACES
from speccas.core.record.trace import TraceArm, read_trace

Run = Callable[..., Any]
HOSTILE = [
    "</script><img src=x onerror=alert(1)>", "\x1b[2J", "\x00", "\ud800", "\ufffe", "\uffff", "]]>", "<!--", "&amp;",
    '"', "'",
    "\u202e", "\x85", "{{ 7 * 7 }}", "javascript:alert(1)", "<script>alert(1)</script>", "http://example.org/x.png",
]  # fmt: skip
TEXT = st.one_of(st.text(), st.sampled_from(HOSTILE), st.binary().map(lambda data: data.decode("latin-1")))


class Page(HTMLParser):
    """The elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def arm(texts: list[str]) -> TraceArm:
    """An arm with these texts in every place that a stranger fills."""
    a, b = texts[0], texts[-1]
    opinion = Opinion(b, 0.5, b, 0.25, True)
    tokens = tuple(
        Token(
            1,
            b"",
            text,
            list(Status)[i % 4],
            -1.0,
            None,
            0.5,
            0.5,
            ((1, a, 0.5),),
            opinion,
            (opinion,),
            Piece(1, b"", b),
        )
        for i, text in enumerate(texts)
    )
    rounds = [Judged(a, 1, 0, 4, tokens, (Piece(1, b"", b),), 4, 1, 1.0, 0.5, 0.5)]
    return TraceArm(Started(a, a, 0.5, 4, 3), b, {"pair": a, "cpu": b, "system": texts}, rounds, None)


ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "span", "b", "div", "section"}


@pytest.mark.slow
@given(st.lists(TEXT, min_size=1, max_size=5))
def test_whatever_a_trace_holds(texts: list[str]) -> None:
    arms = [arm(texts), arm(texts[::-1])]
    page = Page(to_html(arms))
    assert set(page.tags) <= ALLOWED and not page.open
    assert {name for name, _ in page.attributes} <= {
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "tabindex",
    }
    root = ElementTree.fromstring(to_svg(arms).encode())
    assert {each.tag.rpartition("}")[2] for each in root.iter()} <= {"svg", "style", "rect", "text", "title"}
    for text in (to_html(arms), to_svg(arms)):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)


def test_the_recorded_run(trace: Path) -> None:
    arms = read_trace(trace)
    page, svg = to_html(arms), to_svg(arms)
    for whole in (page, svg):
        assert not re.search(r"((?<!-)src|href|url|@import|script)\b", re.sub(r">[^<]*<", "><", whole)), (
            "no script, no link"
        )
        assert re.findall('https?://[^"]*', whole) in ([], ["http://www.w3.org/2000/svg"])
    assert "default-src 'none'" in page
    for status in ("agreed", "kept", "deferred", "agreed copied"):
        selector, face = "." + status.replace(" ", "."), FACES[status]
        assert f"{selector} {{ {face.css('color')} }}" in page
        assert f"{selector} {{ {face.css('fill')} }}" in svg
    assert (page + svg).count("underline") == 6, "what a first drafter wrote, and its word"
    for part in ("decides every word", "SmolLM2-135M-Instruct", "k 4 · temperature 0"):
        assert part in page and part in svg
    read = Page(page)
    for each in arms:
        assert each.started.arm in read.text
        assert f"{(each.finished or {})['tokens']} tokens" in read.text
    for part in (
        "agreed", "kept", "deferred", "bonus", "in place of", "q 0.", "Explain what a cascade is.",
        "rule confidence, alpha 0.3, k 4", "the expert alone", "token 0, ", "token 20, ",
    ):  # fmt: skip
        assert part in read.text and part in svg, part
    for whole, night in ((page, FACES["kept"].night()), (svg, FACES["kept"].night("fill"))):
        assert f".kept {{ {night} }}" in whole.partition("prefers-color-scheme: dark")[2]
    count = max(len([token for judged in each.rounds for token in judged.tokens]) for each in arms)
    assert [n for n in range(count) if f'<span class="n">{n}</span>' in page] == list(range(0, count, 10))
    root = ElementTree.fromstring(svg)
    width = float(root.attrib["viewBox"].split()[2])
    texts = [each for each in root.iter() if each.tag.endswith("}text")]
    assert len(texts) > 200
    for text in texts:
        shown = (text.text or "") if len(text) == 0 else (text[-1].tail or "")
        assert float(text.attrib["x"]) + 8.4 * cells(shown) <= width


@pytest.mark.slow
def test_from_the_command_line(speccas: Run, trace: Path, tmp_path: Path) -> None:
    for kind in ("html", "svg"):
        path = tmp_path / f"out.{kind}"
        done = speccas("replay", str(trace), "--export", str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
        again = speccas("replay", str(trace), "--export", str(path))
        assert again.returncode == 2 and "exists" in again.stderr
        assert speccas("replay", str(trace), "--export", str(path), "--force").returncode == 0
