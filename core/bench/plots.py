"""Three plots as SVG text: cost-quality frontier, acceptance by group, latency.

Every label is escaped here, so the text can stand in a page as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ..decoding.arms import DRAFTER
from ..visible import one_line
from .stats import IntervalEstimate, Percentiles

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 30, 24, 52
INK, GREY, FRONT, REST = "#202124", "#9aa0a6", "#0b57d0", "#b45309"


@dataclass(frozen=True, slots=True)
class Point:
    """An arm: how fast, and how good, each with its interval. `baseline`: one model alone, no method."""

    label: str
    speed: IntervalEstimate
    quality: IntervalEstimate
    baseline: bool = False


def frontier(points: Sequence[Point]) -> set[str]:
    """Labels of the points that no other beats in speed without being worse in quality, or the other way round."""

    def beaten(point: Point) -> bool:
        return any(
            (_at(o.speed) >= _at(point.speed) and _at(o.quality) >= _at(point.quality))
            and (_at(o.speed) > _at(point.speed) or _at(o.quality) > _at(point.quality))
            for o in points
        )

    return {point.label for point in points if not beaten(point)}


def _at(estimate: IntervalEstimate) -> float:
    assert estimate.value is not None
    return estimate.value


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels along one axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[float]:
        span = self.high - self.low
        power = 10.0 ** int(f"{span / most:e}".split("e")[1])
        step = next((power * m for m in (1, 2, 2.5, 5, 10) if span / (power * m) <= most), power * 10)
        first = int(self.low / step) - 1
        return [
            t
            for i in range(first, first + 4 * most)
            if self.low - 1e-9 <= (t := round(i * step, 10)) <= self.high + 1e-9
        ]


def scale(values: Sequence[float], start: float, end: float, least: float) -> Scale:
    """An axis that holds all values with a margin, and is not narrower than `least`: noise must not fill the plot."""
    low, high = min(values), max(values)
    wider = max(0.0, least - (high - low)) / 2
    margin = (high - low + 2 * wider) * 0.08
    return Scale(low - wider - margin, high + wider + margin, start, end)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = INK, extra: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{extra}>{escape(one_line(text))}</text>'
    )


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" font-family="system-ui, sans-serif" font-size="12">'
        f'<title>{escape(one_line(title))}</title><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>'
    )


def _axes(x: Scale, y: Scale, x_name: str, y_name: str) -> list[str]:
    parts = []
    for tick in x.ticks():
        parts.append(_line(x(tick), TOP, x(tick), HEIGHT - BOTTOM, "#e8eaed"))
        parts.append(_text(x(tick), HEIGHT - BOTTOM + 16, f"{tick:g}"))
    for tick in y.ticks():
        parts.append(_line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "#e8eaed"))
        parts.append(_text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, x_name))
    parts.append(_text(16, middle, y_name, extra=f' transform="rotate(-90 16 {middle:g})"'))
    return parts


def frontier_plot(points: Sequence[Point], quality: str) -> str:
    """Speed-up against the change of quality; crosses are 95 % intervals, the line joins the frontier."""
    drawn = [p for p in points if p.speed.value is not None and p.quality.value is not None]
    if not drawn:
        return ""

    def ends(estimates: Sequence[IntervalEstimate]) -> list[float]:
        return [v for e in estimates for v in (e.low, e.value, e.high) if v is not None]

    # The drafter alone is often so far out that nothing else could be told apart: it may leave the plot, rules may not.
    near = [p for p in drawn if p.label != DRAFTER]
    x = scale([*ends([p.speed for p in near]), 1.0], LEFT, WIDTH - RIGHT, 0.2)
    y = scale([*ends([p.quality for p in near]), 0.0], HEIGHT - BOTTOM, TOP, 0.1)
    best = frontier(drawn)
    parts = _axes(x, y, "speed-up against the expert alone (right is faster)", f"change of {quality} (up is better)")
    parts.append(_line(x(1), TOP, x(1), HEIGHT - BOTTOM, GREY, 1, "4 3"))
    parts.append(_line(LEFT, y(0), WIDTH - RIGHT, y(0), GREY, 1, "4 3"))
    outside = [p for p in drawn if not (x.low <= _at(p.speed) <= x.high and y.low <= _at(p.quality) <= y.high)]
    drawn = [p for p in drawn if p not in outside]
    front = sorted((p for p in drawn if p.label in best), key=lambda p: _at(p.speed))
    path = " ".join(f"{x(_at(p.speed)):.1f},{y(_at(p.quality)):.1f}" for p in front)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{FRONT}" stroke-width="1.5" opacity="0.6"/>')
    taken: list[Box] = []
    for p in drawn:
        px, py = x(_at(p.speed)), y(_at(p.quality))
        taken.append((px - 6, py - 6, px + 6, py + 6))
    labels = []  # drawn last, with a white edge: lines of other points run below them
    for p in drawn:
        on = p.label in best
        colour = FRONT if on else REST
        px, py = x(_at(p.speed)), y(_at(p.quality))
        if p.speed.low is not None and p.speed.high is not None:
            parts.append(_line(x(max(p.speed.low, x.low)), py, x(min(p.speed.high, x.high)), py, colour, 1.2))
        if p.quality.low is not None and p.quality.high is not None:
            parts.append(_line(px, y(max(p.quality.low, y.low)), px, y(min(p.quality.high, y.high)), colour, 1.2))
        fill = colour if on else "#fff"
        if p.baseline:
            parts.append(
                f'<rect x="{px - 5:.1f}" y="{py - 5:.1f}" width="10" height="10" fill="{fill}" stroke="{colour}" '
                f'stroke-width="2"/>'
            )
        else:
            parts.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" r="5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
            )
        labels.append(_label(p.label, px, py, taken, colour))
    parts += labels
    for p in outside:
        told = f"{p.label}: {_at(p.speed):.2f}x, {_at(p.quality):+.2f}, outside the plot"
        parts.append(_text(WIDTH - RIGHT - 6, HEIGHT - BOTTOM - 8, told, "end", "#5f6368"))
    key = "filled, joined: the frontier · hollow: beaten · square: one model alone · crosses: 95 % intervals"
    parts.append(_text(WIDTH - RIGHT, TOP - 8, key, "end", "#5f6368"))
    return _svg(WIDTH, HEIGHT, f"Speed-up against {quality}", parts)


HALO = ' stroke="#fff" stroke-width="3" paint-order="stroke"'
Box = tuple[float, float, float, float]
PLACES = (
    (1, -0.6, "start"),
    (1, 1.2, "start"),
    (-1, -0.6, "end"),
    (-1, 1.2, "end"),
    (0, -1, "middle"),
    (0, 1.6, "middle"),
)


def _label(text: str, px: float, py: float, taken: list[Box], colour: str) -> str:
    """A label where nothing stands yet, tried around its point from near to far; a thin line leads to a far one."""
    width = 6.6 * len(text)
    tries = []
    for far in (10, 22, 36, 52, 70):
        for dx, dy, anchor in PLACES:
            x, y = px + dx * far, py + dy * far
            left = {"start": x, "end": x - width, "middle": x - width / 2}[anchor]
            tries.append((far, x, y, anchor, (left, y - 10, left + width, y + 3)))
    far, x, y, anchor, box = next((t for t in tries if _free(t[4], taken)), tries[0])
    taken.append(box)
    lead = _line(px, py, x, y - 4, colour, 0.6) if far > 10 else ""
    return lead + _text(x, y, text, anchor, colour, HALO)


def _free(box: Box, taken: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    inside = left > LEFT and right < WIDTH - 4 and top > TOP and bottom < HEIGHT - BOTTOM + 3
    return inside and not any(left < r and right > x and top < b and bottom > y for x, y, r, b in taken)


CURVES = ("#0b57d0", "#b45309", "#00804f", "#8430ce", "#b3261e", "#00838f", "#5f6368", "#a05a00")


def curves_plot(curves: Mapping[str, Sequence[tuple[float, float]]], cost: str, quality: str) -> str:
    """A line a method through its points, cheapest first: cost of a token against the change of quality."""
    drawn = {name: sorted(points) for name, points in curves.items() if points}
    every = [point for points in drawn.values() for point in points]
    if not every:
        return ""
    x = scale([*(c for c, _ in every), 1.0], LEFT, WIDTH - RIGHT, 0.2)
    y = scale([*(q for _, q in every), 0.0], HEIGHT - BOTTOM, TOP, 0.1)
    parts = _axes(x, y, f"cost of a token, {cost} (left is cheaper)", f"change of {quality} (up is better)")
    parts.append(_line(x(1), TOP, x(1), HEIGHT - BOTTOM, GREY, 1, "4 3"))
    parts.append(_line(LEFT, y(0), WIDTH - RIGHT, y(0), GREY, 1, "4 3"))
    labels, taken = [], list[Box]()
    for number, (name, points) in enumerate(drawn.items()):
        colour = CURVES[number % len(CURVES)]
        path = " ".join(f"{x(c):.1f},{y(q):.1f}" for c, q in points)
        dashed = ' stroke-dasharray="5 3"' if number >= len(CURVES) else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"{dashed}/>')
        for c, q in points:
            parts.append(f'<circle cx="{x(c):.1f}" cy="{y(q):.1f}" r="3.5" fill="{colour}"/>')
            taken.append((x(c) - 5, y(q) - 5, x(c) + 5, y(q) + 5))
        labels.append((name, *points[len(points) // 2], colour))
    parts += [_label(name, x(c), y(q), taken, colour) for name, c, q, colour in labels]
    return _svg(WIDTH, HEIGHT, f"Cost against {quality}", parts)


def acceptance_plot(groups: Sequence[str], arms: Mapping[str, Mapping[str, float | None]]) -> str:
    """A cell an arm and group: the share of judged tokens that was accepted, as a number and a shade."""
    if not arms or not groups:
        return ""
    left, top, row = 12 + 7 * max(map(len, arms)), 40, 26
    cell = max(74.0, min(110.0, (WIDTH - left - 20) / len(groups)))
    parts = []
    for j, group in enumerate(groups):
        parts.append(_text(left + cell * (j + 0.5), top - 10, group))
    for i, (arm, shares) in enumerate(arms.items()):
        y = top + i * row
        parts.append(_text(left - 8, y + 17, arm, "end"))
        for j, group in enumerate(groups):
            share = shares.get(group)
            shade = 0.0 if share is None else share
            parts.append(
                f'<rect x="{left + cell * j + 1:.1f}" y="{y + 1}" width="{cell - 2:.1f}" height="{row - 2}" '
                f'fill="{FRONT}" fill-opacity="{0.05 + 0.85 * shade**2:.2f}"/>'
            )
            colour = "#fff" if shade > 0.72 else INK
            parts.append(
                _text(left + cell * (j + 0.5), y + 17, "-" if share is None else f"{share:.0%}", "middle", colour)
            )
    return _svg(left + cell * len(groups) + 12, top + row * len(arms) + 12, "Acceptance by group", parts)


def latency_plot(arms: Mapping[str, Percentiles]) -> str:
    """A row an arm: line from P5 to P95, box from P25 to P75, bar at P50."""
    drawn = {label: p for label, p in arms.items() if p.n}
    if not drawn:
        return ""
    left, top, row = 12 + 7 * max(map(len, drawn)), 20, 28
    bottom = top + row * len(drawn)
    x = Scale(0, max(p.p95 or 0 for p in drawn.values()) * 1.06 or 1, left, WIDTH - RIGHT)
    parts = []
    for tick in x.ticks():
        parts.append(_line(x(tick), top, x(tick), bottom, "#e8eaed"))
        parts.append(_text(x(tick), bottom + 16, f"{tick:g}"))
    for i, (label, p) in enumerate(drawn.items()):
        y = top + row * (i + 0.5)
        p5, p25, p50, p75, p95 = (v or 0.0 for v in (p.p5, p.p25, p.p50, p.p75, p.p95))
        parts.append(_text(left - 8, y + 4, label, "end"))
        parts.append(_line(x(p5), y, x(p95), y, GREY, 2))
        parts.append(
            f'<rect x="{x(p25):.1f}" y="{y - 8:.1f}" width="{max(1.0, x(p75) - x(p25)):.1f}" height="16" '
            f'fill="#c9dafc" stroke="{FRONT}"/>'
        )
        parts.append(_line(x(p50), y - 8, x(p50), y + 8, INK, 2))
    parts.append(
        _text(
            (left + WIDTH - RIGHT) / 2, bottom + 34, "ms between the ends of rounds: P5 to P95, box P25 to P75, bar P50"
        )
    )
    return _svg(WIDTH, bottom + 44, "Time between rounds", parts)
