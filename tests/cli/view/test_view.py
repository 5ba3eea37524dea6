"""The live view on an emulated terminal: each line once and in order, whatever happens to it; only our own codes.

Feeds events; no model is needed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.flow import cells
from speccas.cli.view.legend import show_legend
from speccas.cli.view.theme import Look
from speccas.cli.view.tokens import TokenView
from speccas.core.decoding.events import Drafted, Event, Finish, Finished, Judged, Piece, Started, Status, Token

Events = Callable[..., Iterator[Event]]
Words = tuple[tuple[str, str], ...]
Clock = Callable[[], float]

SIZES = [(80, 24), (40, 12)]
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
STATUSES = ("agreed", "kept", "agreed", "deferred", "bonus")
OURS = re.compile(r"\x1b\[(?:\d+(?:;\d+)*)?m|\x1b\[\d+A|\x1b\[J|\x1b\[\?25[lh]|\r|\n")
SAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]")


def long_answer(lines: int = 500) -> Words:
    """Short lines, each of some words of several statuses; the line feed comes with the last word."""
    words: list[tuple[str, str]] = []
    for i in range(lines):
        for j, part in enumerate((f"line {i}", " has", " a few", " words\n")):
            words.append((part, STATUSES[(i + j) % len(STATUSES)]))
    return tuple(words)


def play(view: TokenView, events: Iterator[Event]) -> None:
    with view:
        for event in events:
            view(event)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_long_answer_appears_once_and_in_order(terminal: Any, events: Events, clock: Clock, size: Any) -> None:
    screen = terminal(*size)
    play(TokenView(screen.look, clock, headings=False), events(long_answer()))
    assert screen.lines() == [f"line {i} has a few words" for i in range(500)]
    assert not screen.screen.cursor.hidden and screen.raw.endswith(SHOW)


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (140, 30), (7, 5)])
@pytest.mark.parametrize("rounds", [False, True])
def test_live_leaves_what_the_plain_view_prints(
    terminal: Any, events: Events, sample: Words, clock: Clock, size: Any, rounds: bool
) -> None:
    live, plain = terminal(*size), terminal(*size)
    plain.look = type(plain.look)(plain.console, live=False)
    words = [*sample * 4, ("x" * 200, "kept"), ("漢" * 99, "deferred"), ("\n\n", "agreed"), ("   ", "bonus")]
    for screen in (live, plain):
        view = TokenView(screen.look, clock, rounds=rounds)
        show_legend(screen.look, {"agreed", "kept", "deferred", "bonus"})
        play(view, events(words))
    assert live.lines() == plain.lines()
    assert [row for row in live.cells() if any(cell[0].strip() for cell in row)] == [
        row for row in plain.cells() if any(cell[0].strip() for cell in row)
    ], "the same marks in the same cells"
    assert HIDE not in plain.raw and "\x1b[J" not in plain.raw and "\r" not in plain.raw


@pytest.mark.parametrize("size", SIZES)
def test_resized_in_the_middle(terminal: Any, events: Events, clock: Clock, size: Any) -> None:
    """Wider and narrower, higher and lower; lines are short enough for each, so that the emulator cuts none."""
    screen = terminal(*size)
    sizes = iter([(60, 24), (100, 24), (36, 24), (90, 30), (38, 30), (80, 40)])
    view = TokenView(screen.look, clock, headings=False)
    with view:
        for number, event in enumerate(events(long_answer(120))):
            view(event)
            if number % 40 == 39 and (new := next(sizes, None)):
                screen.resize(*new)
    assert [line for line in screen.lines() if line] == [f"line {i} has a few words" for i in range(120)]


def test_narrower_lines_are_filled_anew(terminal: Any, events: Events, clock: Clock) -> None:
    screen = terminal(80, 24)
    words = [(f" word{i}", STATUSES[i % 5]) for i in range(200)]
    at = 0
    with TokenView(screen.look, clock, headings=False) as view:
        for number, event in enumerate(events(words)):
            view(event)
            if number == 40:
                screen.resize(38, 24)
                at = len(screen.raw)
    assert all(
        cells(line) <= 38 for line in re.split(r"[\r\n]", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.raw[at:]))
    )
    written = re.findall(r"word\d+", screen.raw[at:])
    assert written[-1] == "word199"


def test_a_draft_higher_than_the_screen(terminal: Any, clock: Clock) -> None:
    screen = terminal(40, 6)
    view = TokenView(screen.look, clock, headings=False)
    with view:
        view(Started("exact", "exact", None, 16, 3))
        for i in range(8):
            view(Drafted("exact", i, tuple(Piece(1, b"\n", f"draft\n{j}") for j in range(16))))
            view(Judged("exact", i, i, 16, (Token(1, b"x", f"line {i}\n", Status.BONUS),), (), 1, 1, 9.0, 1.0, 1.0))
        view(Finished("exact", Finish.END, "", 1.0, 0.5, 0.5, 0.0))
    assert screen.lines() == [f"line {i}" for i in range(8)]


def test_the_status_line_shows_what_is_left_of_a_budget(terminal: Any, clock: Clock) -> None:
    screen = terminal(90, 6)
    with TokenView(screen.look, clock, headings=False) as view:
        view(Started("token", "token", 0.5, 4, 3, budget=2.0))
        assert "2 of 2 nats left" in view.status()
        tokens = tuple(Token(1, b"x", "x", Status.KEPT, charged=cost) for cost in (0.5, 0.25))
        view(Judged("token", 1, 0, 4, tokens, (), 2, 1, 9.0, 1.0, 1.0))
        assert "1.25 of 2 nats left" in view.status()
        view(Started("exact", "exact", None, 4, 3))
        assert "nats" not in view.status()


def test_wide_characters_align(terminal: Any, events: Events, clock: Clock) -> None:
    screen = terminal(40, 12)
    words = [("漢字かな" * 3, "kept"), (" 🙂🙂 ", "agreed"), ("e\u0301" * 30, "deferred"), ("한국어", "bonus")] * 5
    play(TokenView(screen.look, clock, headings=False), events(words))
    lines = screen.lines()
    assert "".join(lines).replace(" ", "") == "".join(text for text, _ in words).replace(" ", "").replace(
        "e\u0301", "é"
    )
    assert all(cells(line) <= 40 for line in lines)
    assert sum(cells(line) for line in lines) > 0.6 * 40 * (len(lines) - 1), "lines are filled"


class Counting(Look):
    """Keeps every text that was given a style of its own."""

    def ansi(self, text: str, status: str) -> str:
        styled.append((text, status))
        return super().ansi(text, status)


styled: list[tuple[str, str]] = []


def test_settled_text_is_drawn_once_and_a_drawing_costs_the_same_behind_a_long_answer(
    terminal: Any, events: Events, clock: Clock
) -> None:
    """Counted, not timed: what is styled, and the characters that each drawing writes."""
    words = [(f"word{i:03}\n" if i % 8 == 7 else f"word{i:03} ", STATUSES[i % 5]) for i in range(360)]
    still, moving = terminal(80, 24), terminal(80, 24)
    for screen, reads in ((still, lambda: 0.0), (moving, clock)):
        styled.clear()
        written = []
        view = TokenView(Counting(screen.console, live=True), reads, headings=False)
        with view:
            for event in events(words):
                before = len(screen.raw)
                view(event)
                if isinstance(event, Judged):
                    written.append(len(screen.raw) - before)
        if screen is still:
            settled = [text for text, status in styled if text.startswith("word") and status != "pending"]
            assert sorted(settled) == sorted(word.strip() for word, _ in words), "each word once"
        else:
            assert len(written) == 120 and max(written[-40:]) <= 1.1 * max(written[10:50])


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_an_exception_leaves_the_terminal_sane(terminal: Any, events: Events, clock: Clock, error: Any) -> None:
    screen = terminal(80, 24)
    view = TokenView(screen.look, clock, headings=False)
    with pytest.raises(error), view:
        for number, event in enumerate(events(long_answer(9))):
            view(event)
            if number == 7:
                raise error
    assert screen.raw.endswith(SHOW) and not screen.screen.cursor.hidden
    assert screen.lines()[-1].startswith("line 2") and "pending" not in "\n".join(screen.lines())
    assert "expert calls" not in "\n".join(screen.lines()), "the status line is gone"


def test_the_status_line(terminal: Any, events: Events, sample: Words, clock: Clock) -> None:
    screen = terminal(100, 24)
    view = TokenView(screen.look, clock)
    view.baseline = 50.0
    stream = events(sample)
    with view:
        for _ in range(6):
            view(next(stream))
        status = screen.lines()[-1]
        pending = [cell for row in screen.cells() for cell in row if cell[4]]  # italics
    assert status == "token checking · 6 tokens · 75.0 tokens/s · 1.5x · 2 expert calls · accepted 80% ▆█"
    assert "".join(cell[0] for cell in pending).split() == ["steps", "wrong", "and", "lost"]


@pytest.mark.parametrize(
    ("width", "status"),
    [
        (80, "cost-benefit:0.5 checking · 75.0 tokens/s · 1.5x · 2 calls · accepted 80% ▆█"),
        (70, "cost-benefit:0.5 checking · 75.0 tokens/s · 1.5x · accepted 80% ▆█"),
        (40, "checking · 75.0 tokens/s · 80% ▆█"),
        (20, "75.0 tokens/s ▆█"),
    ],
)
def test_a_narrow_status_line_still_shows_speed_and_acceptance(
    terminal: Any, events: Events, sample: Words, clock: Clock, width: int, status: str
) -> None:
    screen = terminal(width, 24)
    view = TokenView(screen.look, clock)
    view.baseline = 50.0
    stream = events(sample, arm="cost-benefit:0.5")
    with view:
        for _ in range(6):
            view(next(stream))
        assert screen.lines()[-1] == status


HOSTILE = [
    "\x1b]52;c;eA==\x07", "\x1b[2J", "\x9b31m", "\u202eevil", "\u200d", "\u0301" * 10_000, "👩\u200d🚀",
    "[/]", "\x1b", "]0;title\x07", "\r\r", "\x00\x08\x7f", "\ud800", "\U0001f1e6", "\ufeff", "<script>", "\u2028",
    "[bold]x[/bold]",
]  # fmt: skip


def only_our_codes(raw: str) -> None:
    """What is left without our own codes is plain text."""
    left = OURS.sub("", raw)
    assert not SAFE.search(left), ascii(SAFE.findall(left)[:5])


def hostile(texts: Sequence[str], arm: str) -> Iterator[Event]:
    yield Started(arm, "token", 0.5, 4, 3)
    pieces = tuple(Piece(1, b"", text) for text in texts)
    yield Drafted(arm, 1, pieces)
    tokens = tuple(
        Token(1, b"", text, Status(STATUSES[i % 5]), p=0.5, turned_down=pieces[0]) for i, text in enumerate(texts)
    )
    yield Judged(arm, 1, 0, 4, tokens, pieces, 4, 1, 1.0, 0.5, 0.5)
    yield Finished(arm, Finish.END, texts[0], 1.0, 0.5, 0.5, 0.0)


@pytest.mark.slow
@given(
    texts=st.lists(
        st.one_of(st.binary().map(lambda b: b.decode("latin-1")), st.text(), st.sampled_from(HOSTILE)), min_size=1
    ),
    arm=st.text(),
    rounds=st.booleans(),
    live=st.booleans(),
)
def test_whatever_a_model_writes(terminal: Any, texts: list[str], arm: str, rounds: bool, live: bool) -> None:
    screen = terminal(40, 12)
    screen.look = type(screen.look)(screen.console, live=live)
    play(TokenView(screen.look, iter(range(10**6)).__next__, rounds=rounds), hostile(texts, arm))
    only_our_codes(screen.raw)


def test_an_escape_sequence_split_over_tokens(terminal: Any, clock: Clock) -> None:
    screen = terminal(80, 24)
    play(
        TokenView(screen.look, clock, headings=False), hostile(["\x1b", "[2J", "\x1b]", "0;x", "\x07", "done"], "token")
    )
    assert "␛[2J␛]0;x␇done" in "".join(screen.lines())
    only_our_codes(screen.raw)
