"""A round in one line: the draft as written, struck through where it was turned down, the expert's word instead."""

from speccas.core.decoding.events import Judged

from .flow import Line
from .safe import visible
from .theme import Look, shown_as


def round_line(look: Look, judged: Judged, numbers: bool = True) -> Line:
    """The runs of the line; with `numbers` both probabilities stand behind each token."""
    line: Line = [("copied ", "quiet")] if judged.source == "lookup" else []
    for token in judged.tokens:
        down = token.turned_down
        if down is not None:
            line += look.runs(flat(down.text), "turned down")
            if numbers and down.q is not None:
                line.append((f" q{share(down.q)} p{share(down.p)} ", "quiet"))
        line += look.runs(flat(token.text), shown_as(judged, token))
        if numbers and token.p is not None:
            q = "" if token.q is None else f" q{share(token.q)}"
            line.append((f"{q} p{share(token.p)} ", "quiet"))
    for piece in judged.discarded:
        line += look.runs(flat(piece.text), "discarded")
    return line


def flat(text: str) -> str:
    """A token in one line; one that is nothing but blanks is to be seen as well."""
    shown = visible(text).replace("\n", "⏎")
    return shown if shown.strip(" ") else "␣" * len(shown)


def share(value: float | None) -> str:
    """A probability, short."""
    return "-" if value is None else f"{value:.2g}"
