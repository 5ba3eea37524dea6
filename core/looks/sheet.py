"""The style that all HTML of ours shares: its two sheets are put into pages, so that a page stays one file."""

import importlib.resources
from functools import cache

from jinja2 import Environment

from .faces import FACES

PAPER, NIGHT = "#ffffff", "#17181c"
"""Backgrounds, by what the reader's system is set to."""


def styles(colour: str, dark: bool = False) -> dict[str, str]:
    """Selectors and declarations for every status that has a look of its own; `dark`: what is another one on a dark
    page. `colour`: the property for it."""
    faces = {"." + ".".join(status.split()): face for status, face in FACES.items() if status}
    told = {selector: face.night(colour) if dark else face.css(colour) for selector, face in faces.items()}
    return {selector: css for selector, css in told.items() if css}


@cache
def sheet(name: str) -> str:
    """A style sheet beside this file: `colours` has the variables of a light and a dark page, `tokens` the looks of
    statuses, of the legend, and of what a token tells when it is pointed at."""
    text = importlib.resources.files(__package__).joinpath(f"{name}.css.jinja").read_text(encoding="utf-8")
    told = {"styles": styles("color"), "dark": styles("color", dark=True), "faces": FACES}
    return Environment().from_string(text).render(paper=PAPER, night=NIGHT, **told)
