"""Colours against the eye: luminance against the backgrounds that terminals have, and what eyes that lack one kind of
cone see of the differences. Formulas: WCAG 2.1; Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB;
CIEDE2000 (Sharma, Wu and Dalal 2005), whose test data it is checked with."""

import itertools
import re
from collections.abc import Mapping
from math import atan2, cos, degrees, exp, hypot, radians, sin, sqrt
from pathlib import Path

import pytest
from rich.color import ColorSystem
from rich.console import Console

from speccas.cli.view.theme import STYLES, Look
from speccas.core.looks.faces import FACES
from speccas.core.looks.sheet import NIGHT, PAPER

ROOT = Path(__file__).parents[3]
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

EYES: Mapping[str, Matrix] = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
THEMES = {  # background, text
    "xterm, dark": ("#000000", "#e5e5e5"), "xterm, light": ("#ffffff", "#000000"),
    "VS Code, dark": ("#1e1e1e", "#cccccc"), "VS Code, light": ("#ffffff", "#333333"),
    "Solarized, dark": ("#002b36", "#839496"), "Solarized, light": ("#fdf6e3", "#657b83"),
    "One Half, dark": ("#282c34", "#dcdfe4"), "One Half, light": ("#fafafa", "#383a42"),
    "macOS Terminal, Basic": ("#ffffff", "#000000"), "macOS Terminal, Pro": ("#000000", "#f2f2f2"),
}  # fmt: skip
TOLD_APART = ("agreed", "kept", "deferred")
APART = 13.5  # CIEDE2000; 2 is seen at a glance, side by side
CONTRAST = 3.0  # WCAG's least for what is not small text; a terminal does not say which background it has
CONTRAST_256 = 2.6  # the nearest of 256 colours is a little lighter
CONTRAST_PAPER = 4.5  # WCAG AA for text: an export has its own background
XYZ: Matrix = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
WHITE = (0.95047, 1.0, 1.08883)


def linear(colour: str) -> Vector:
    """`#rrggbb` in linear light, 0 to 1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return r, g, b


def times(matrix: Matrix, vector: Vector) -> Vector:
    a, b, c = (sum(m * v for m, v in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def seen(colour: str, eye: str) -> Vector:
    """CIE L*a*b* (D65) of a colour as an eye of this kind sees it."""
    r, g, b = (min(1.0, max(0.0, part)) for part in times(EYES[eye], linear(colour)))
    ratios = [value / white for value, white in zip(times(XYZ, (r, g, b)), WHITE, strict=True)]
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in ratios)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def difference(one: Vector, other: Vector) -> float:
    """CIEDE2000 between two colours in L*a*b*."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean7 = ((hypot(a1, b1) + hypot(a2, b2)) / 2) ** 7
    stretch = 1.5 - 0.5 * sqrt(mean7 / (mean7 + 25**7))
    c1, c2 = hypot(stretch * a1, b1), hypot(stretch * a2, b2)
    h1, h2 = degrees(atan2(b1, stretch * a1)) % 360, degrees(atan2(b2, stretch * a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1 - 0.17 * cos(radians(hue - 30)) + 0.24 * cos(radians(2 * hue))
        + 0.32 * cos(radians(3 * hue + 6)) - 0.20 * cos(radians(4 * hue - 63))
    )  # fmt: skip
    lightness = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / sqrt(20 + (light - 50) ** 2))
    saturation = (c2 - c1) / (1 + 0.045 * chroma)
    tone = 2 * sqrt(c1 * c2) * sin(radians(turn / 2)) / (1 + 0.015 * chroma * t)
    twist = -sin(radians(60 * exp(-(((hue - 275) / 25) ** 2)))) * 2 * sqrt(chroma**7 / (chroma**7 + 25**7))
    return sqrt(lightness**2 + saturation**2 + tone**2 + twist * saturation * tone)


def contrast(one: str, other: str) -> float:
    """WCAG's ratio of luminances."""
    low, high = sorted(sum(m * v for m, v in zip(XYZ[1], linear(each), strict=True)) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def screen(status: str, system: ColorSystem = ColorSystem.TRUECOLOR) -> str:
    """The colour that a terminal of this kind shows for a status."""
    colour = STYLES[status].color
    assert colour is not None, status
    return colour.downgrade(system).get_truecolor().hex


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.49, -0.001), (50.0, -2.49, 0.0009), 7.1792),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_formula(one: Vector, other: Vector, expected: float) -> None:
    assert difference(one, other) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("system", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT], ids=["16 million", "256"])
@pytest.mark.parametrize("eye", EYES)
def test_statuses_are_told_apart_on_every_screen(eye: str, system: ColorSystem) -> None:
    """agreed, kept, deferred, and what is plain: the terminal's own text."""
    colours = [seen(screen(status, system), eye) for status in TOLD_APART]
    for one, other in itertools.combinations(colours, 2):
        assert difference(one, other) >= APART
    for name, (_, text) in THEMES.items():
        for status, colour in zip(TOLD_APART, colours, strict=True):
            assert difference(colour, seen(text, eye)) >= APART, (name, status)


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("status", [*TOLD_APART, "turned down", "warning", "error"])
def test_statuses_are_read_on_dark_and_on_light(name: str, status: str) -> None:
    background, _ = THEMES[name]
    assert contrast(screen(status), background) >= CONTRAST
    assert contrast(screen(status, ColorSystem.EIGHT_BIT), background) >= CONTRAST_256


@pytest.mark.parametrize(("side", "page", "text"), [("paper", PAPER, "#202124"), ("night", NIGHT, "#e3e4e8")])
@pytest.mark.parametrize("eye", EYES)
def test_statuses_are_told_apart_in_an_export(eye: str, side: str, page: str, text: str) -> None:
    """On white, and on the black of a reader whose system is dark."""
    inks = {status: str(getattr(FACES[status].ink, side)) for status in (*TOLD_APART, "turned down")}
    colours = [seen(inks[status], eye) for status in TOLD_APART] + [seen(text, eye)]
    assert all(difference(one, other) >= APART for one, other in itertools.combinations(colours, 2))
    assert all(contrast(ink, page) >= CONTRAST_PAPER for ink in (*inks.values(), text))


@pytest.mark.parametrize("name", THEMES)
def test_the_eye_meets_first_what_was_won(name: str) -> None:
    """kept alone is bold, a first drafter's alone is underlined; on dark the accepted drafts are the lighter ones."""
    background, _ = THEMES[name]
    assert [status for status in FACES if FACES[status].bold] == [
        "kept", "kept copied", "kept first", "heading", "error",
    ]  # fmt: skip
    assert [status for status in STYLES if STYLES[status].underline] == ["agreed first", "kept first", "first"]
    if contrast(background, "#000000") < contrast(background, "#ffffff"):
        agreed, kept, deferred = (contrast(screen(status), background) for status in TOLD_APART)
        assert min(agreed, kept) > deferred


def test_never_by_colour_alone() -> None:
    """Two looks that differ have different marks, but for agreed, which has none."""
    marks = {status: FACES[status].marks for status in ("agreed", "kept", "deferred", "bonus", "copied", "turned down")}
    assert len(set(marks.values())) == len(marks) and marks["agreed"] == ("", "")
    for status in ("agreed", "kept"):
        copied = FACES[f"{status} copied"]
        assert copied.italic and copied.ink == FACES[status].ink and copied.bold == FACES[status].bold


@pytest.mark.parametrize("system", ["standard", "256", "truecolor"])
def test_the_names_of_sixteen_colours(system: str) -> None:
    """A terminal of sixteen gets its own green, bright blue and yellow; the nearest of them would be cyan for green."""
    console = Console(color_system=system, force_terminal=True, no_color=False)  # type: ignore[arg-type]
    shown = [Look(console, live=False).ansi("x", status) for status in (*TOLD_APART, "bonus", "expert", "")]
    assert shown[3:] == ["x", "x", "x"]
    expected = {
        "standard": ["\x1b[32mx\x1b[0m", "\x1b[1;94mx\x1b[0m", "\x1b[33mx\x1b[0m"],
        "256": ["\x1b[38;5;35mx\x1b[0m", "\x1b[1;38;5;69mx\x1b[0m", "\x1b[38;5;130mx\x1b[0m"],
        "truecolor": ["\x1b[38;2;0;163;98mx\x1b[0m", "\x1b[1;38;2;77;124;255mx\x1b[0m", "\x1b[38;2;184;101;0mx\x1b[0m"],
    }
    assert shown[:3] == expected[system]


def test_no_colour_is_named_elsewhere() -> None:
    """A named colour is the theme's, and may be unreadable: xterm's yellow is 1.7:1 on white."""
    names = re.compile(r"""["'](?:bold |dim )*(?:bright_)?(?:red|green|yellow|blue|cyan|magenta)["']""")
    sources = [path for path in (ROOT / "cli").rglob("*.py") if path.name != "theme.py"]
    assert len(sources) > 30
    assert [path.name for path in sources if names.search(path.read_text(encoding="utf-8"))] == []
