"""The pictures in docs/ are what `make pictures` writes: screens as the view draws them today, from recorded runs."""

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def script() -> Any:
    found = importlib.util.spec_from_file_location("pictures", ROOT / "scripts" / "pictures.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(script: Any) -> dict[Path, str]:
    pictures: dict[Path, str] = script.pictures()
    return pictures


def test_pictures_are_up_to_date(drawn: dict[Path, str]) -> None:
    assert len(drawn) == 7
    stale = [path.name for path, svg in drawn.items() if path.read_text(encoding="utf-8") != svg]
    assert not stale, "run make pictures, and look at what it wrote"


def test_a_picture_needs_nothing_from_elsewhere(drawn: dict[Path, str]) -> None:
    for path, svg in drawn.items():
        ElementTree.fromstring(svg)
        assert set(re.findall(r"https?://[^\"\s]*", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
        assert "@font-face" not in svg and "<script" not in svg, path.name


def text_of(svg: str) -> list[str]:
    """The lines of a screen."""
    rows: dict[float, list[tuple[float, str]]] = {}
    for each in ElementTree.fromstring(svg).iter():
        if each.tag.endswith("}text") and "clip-path" in each.attrib:
            rows.setdefault(float(each.attrib["y"]), []).append((float(each.attrib["x"]), each.text or ""))
    return ["".join(text for _, text in sorted(row)).replace("\xa0", " ").rstrip() for _, row in sorted(rows.items())]


def test_what_the_four_screens_show(drawn: dict[Path, str], script: Any) -> None:
    screens = {path.stem: svg for path, svg in drawn.items() if path.parent == script.FOLDER}
    green, blue, amber = "#00a362", "#4d7cff", "#b86500"
    for name, svg in screens.items():
        used = [colour in svg for colour in (green, blue, amber)]
        assert used == [name != "plain"] * 3, name
        shown = "\n".join(text_of(svg))
        for part in ("speccas compare", "decides every word", "writes ahead for the expert", "tokens/s"):
            assert part in shown, (name, part)
    plain = "\n".join(text_of(screens["plain"]))
    for mark in (r"‹kept›", r"\[deferred\]", r"\+bonus", r"=copied", r"‹\w+›", r"\[\w+\]", r" \+\w+", r"=\w+"):
        assert re.search(mark, plain), mark
    assert max(map(len, text_of(screens["narrow"]))) <= 60
    assert "#1e1e1e" in screens["dark"] and "#ffffff" in screens["light"]


def test_the_first_command_is_the_one_of_the_readme(script: Any) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^speccas compare .*$", readme, re.MULTILINE)
    assert commands[0] == script.typed("first")
