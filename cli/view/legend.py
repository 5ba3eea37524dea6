"""What the colours and marks mean, as lines for a width, every entry whole."""

from .flow import Flow, Line, cells
from .theme import LEGEND, MARKS, MEANINGS

GAP = 3  # cells between two entries


def legend_lines(width: int, marked: bool) -> list[Line]:
    """All entries in one line where they fit, else two in a line, else one. `marked`: with the marks, for want of
    colour."""
    entries = []
    for status in LEGEND:
        before, after = MARKS.get(status, ("", "")) if marked else ("", "")
        entries.append((f"{before}{status}{after}", status, MEANINGS[status]))
    for across in (len(entries), 2, 1):
        rows = [entries[i : i + across] for i in range(0, len(entries), across)]
        words = [max(cells(row[i][0]) for row in rows) for i in range(across)]
        widths = [words[i] + 1 + max(cells(row[i][2]) for row in rows) for i in range(across)]
        if sum(widths) + GAP * (across - 1) <= width:
            return [_row(row, words, widths) for row in rows]
    lines: list[Line] = []
    for word, status, meaning in entries:  # narrower than an entry: broken as text is
        flow = Flow(width)
        lines += [*flow.feed(word, status), *flow.feed(f" {meaning}", "quiet"), *flow.end()]
    return lines


def _row(row: list[tuple[str, str, str]], words: list[int], widths: list[int]) -> Line:
    line: Line = []
    for i, (word, status, meaning) in enumerate(row):
        pad = " " * (words[i] - cells(word) + 1)
        behind = " " * (widths[i] - words[i] - 1 - cells(meaning) + GAP) if i + 1 < len(row) else ""
        line += [(word, status), (f"{pad}{meaning}{behind}", "quiet")]
    return line
