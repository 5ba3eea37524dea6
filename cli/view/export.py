"""A trace as one self-contained HTML or SVG file: no script, no network, safe whatever a model wrote.

Hovering a token shows q, p and the expert's choices.
"""

import importlib.resources
from collections.abc import Sequence

from jinja2 import Environment, Template
from rich.cells import cell_len

from speccas.core.decoding.events import Token
from speccas.core.looks.legend import entries
from speccas.core.looks.sheet import NIGHT, PAPER, sheet, styles
from speccas.core.record.trace import TraceArm

from .flow import Flow, Line
from .header import header_lines
from .legend import legend_lines, recorded
from .rounds import flat, share
from .safe import visible
from .theme import shown_as, words

WIDEST = 1000  # cells: a page breaks its lines itself
EVERY = 10  # tokens between two numbers that are seen without hovering


def template(name: str) -> Template:
    """A template of ours that lies beside this file; every value in it is escaped."""
    text = importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(text)


def tip(number: int, token: Token, source: str) -> str:
    """What hovering a token shows. `number`: what --why takes."""
    copied = " (its draft was looked up in the text)" if source == "lookup" else ""
    copied += " (drafted by the first drafter)" if token.level == 1 else ""
    lines = [f"token {number}, {token.status}: {flat(token.text)!r}{copied}"]
    lines.append(f"q {share(token.q)}   p {share(token.p)}")
    if token.turned_down is not None:
        down = token.turned_down
        lines.append(f"in place of {flat(down.text)!r}   q {share(down.q)}   p {share(down.p)}")
    if token.opinion is not None:
        o = token.opinion
        lines.append(f"{flat(o.rule)}: {o.left:.3g} {flat(o.sense)} {o.right:.3g} is {str(o.keeps).lower()}")
    if token.expert_top:
        lines.append("the expert's first choices:")
    lines += [f"  {flat(text)!r} {p:.3g}" for _, text, p in token.expert_top]
    return "\n".join(lines)


def figures(arm: TraceArm) -> str:
    """One line of figures, where the arm was finished. No speed: a run that records probabilities is not timed."""
    end = arm.finished
    if end is None:
        return "interrupted"
    parts = [f"{end['tokens']} tokens"]
    if end.get("acceptance") is not None:
        parts.append(f"accepted {end['acceptance']:.0%}, kept {end['kept']}, deferred {end['deferred']}")
    return " · ".join(parts)


def method(arm: TraceArm) -> str:
    """The rule of an arm, and its alpha, or what stands for one."""
    started = arm.started
    if started.rule is None:
        return {"expert": "the expert alone", "drafter": "the drafter alone"}.get(started.arm, "without a rule")
    alpha = "" if started.alpha is None else f", alpha {started.alpha:g}"
    return visible(f"rule {started.rule}{alpha}, k {started.k}")


def origin(arms: Sequence[TraceArm]) -> str:
    """Pair, machine and versions, from the first arm's manifest."""
    manifest = arms[0].manifest
    names = {"pair": "pair ", "cpu": "", "system": "", "speccas": "speccas ", "llama_cpp_python": "llama-cpp-python "}
    return visible(" · ".join(f"{name}{manifest[key]}" for key, name in names.items() if key in manifest))


def to_html(arms: Sequence[TraceArm]) -> str:
    """The page. Text goes through `visible` and Jinja's autoescape; its policy allows no script and no network."""
    return template("export.html.jinja").render(
        prompt=visible(arms[0].prompt),
        arms=[
            {
                "name": visible(arm.started.arm),
                "method": method(arm),
                "tokens": [
                    {
                        "number": number if number % EVERY == 0 else None,
                        "runs": words(visible(token.text), shown_as(judged, token)),
                        "tip": tip(number, token, judged.source),
                    }
                    for judged in arm.rounds
                    for number, token in enumerate(judged.tokens, judged.at)
                ],
                "tail": visible(str((arm.finished or {}).get("tail", ""))),
                "figures": figures(arm),
            }
            for arm in arms
        ],
        head=["".join(text for text, _ in line) for line in header_lines(arms[0].manifest, WIDEST)],
        colours=sheet("colours"),
        tokens=sheet("tokens"),
        legend=entries(recorded(arms), marked=False),
        manifest=origin(arms),
    )


CELL, ROW, MARGIN = 8.4, 20, 16  # pixels
COLUMNS, GUTTER, ACROSS = 47, 3, 2  # cells of an arm, cells between two, arms in a row: a page shows no more legibly


def to_svg(arms: Sequence[TraceArm]) -> str:
    """A picture of all arms, two in a row, with the legend; each token has its numbers as a title."""
    total = min(ACROSS, len(arms)) * (COLUMNS + GUTTER) - GUTTER
    runs: list[dict[str, object]] = []

    def place(lines: Sequence[Line], column: int, row: int) -> int:
        for line in lines:
            x = MARGIN + column * CELL
            for text, key in line:
                status, _, hint = key.partition("\0")
                y = MARGIN + (row + 1) * ROW
                runs.append({"x": round(x, 1), "y": y, "status": status, "tip": hint, "text": text})
                x += cell_len(text) * CELL
            row += 1
        return row

    head = Flow(total)
    top = place([*head.feed(visible(arms[0].prompt), "heading"), *head.end()], 0, 0)
    top = place(header_lines(arms[0].manifest, total), 0, top)
    top = place(legend_lines(total, entries(recorded(arms), marked=False)), 0, top) + 1
    bottom = top
    for i, arm in enumerate(arms):
        if i % ACROSS == 0 and i:
            top = bottom + 1
        flow = Flow(COLUMNS)
        body: list[Line] = []
        for judged in arm.rounds:
            for number, token in enumerate(judged.tokens, judged.at):
                for text, status in words(visible(token.text), shown_as(judged, token)):
                    body += flow.feed(text, f"{status}\0{tip(number, token, judged.source)}")
        body += [*flow.feed(visible(str((arm.finished or {}).get("tail", ""))), ""), *flow.end()]
        below = Flow(COLUMNS)
        body += [*below.feed(figures(arm), "quiet"), *below.end()]
        column = i % ACROSS * (COLUMNS + GUTTER)
        above = Flow(COLUMNS)
        title = [*above.feed(visible(arm.started.arm), "heading"), *above.feed(f"  {method(arm)}", "quiet")]
        title += above.end()
        row = place([*title, *body], column, top)
        bottom = max(bottom, row)
    return template("export.svg.jinja").render(
        width=round(2 * MARGIN + total * CELL),
        height=2 * MARGIN + bottom * ROW,
        runs=runs,
        styles=styles("fill"),
        dark=styles("fill", dark=True),
        paper=PAPER,
        night=NIGHT,
    )
