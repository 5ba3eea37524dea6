"""An arm as it is written: settled text scrolls, the pending draft and a status line are redrawn.

Folds events; knows statuses and widths. Nothing of models, commands or files. `tokens` shows the text, `numbers` the
same with the number of each token, `rounds` a line a round with its probabilities.
"""

import time
from collections import deque
from collections.abc import Callable

from speccas.core.decoding.events import Drafted, Event, Finished, Judged, Piece, Started

from .flow import Flow, Line, cells, clip
from .live import Region
from .rounds import round_line
from .safe import one_line, visible
from .tables import nats_left
from .theme import Look, shown_as

REFRESH = 1 / 15  # seconds between two drawings; a redraw costs time that the models do not get
BARS = "▁▂▃▄▅▆▇█"
RECENT = 12  # rounds in the small bar
SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
SHORT = 4  # cells that the bar has at least, in any terminal that shows a share


class TokenView:
    """One arm after another. Feed it events; it writes to the look's console.

    `baseline` is the speed of the expert alone in tokens a second, once known.
    """

    def __init__(
        self,
        look: Look,
        clock: Callable[[], float] = time.monotonic,
        headings: bool = True,
        rounds: bool = False,
        numbers: bool = False,
    ) -> None:
        self.look = look
        self.numbers = numbers
        self.rounds = rounds
        self.headings = headings
        self.clock = clock
        self.baseline: float | None = None
        self._pending: tuple[Piece, ...] = ()
        self._region: Region | None = None
        self._begin("")

    def __enter__(self) -> "TokenView":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._begin(event.arm, event.budget)
            if self.headings:
                self._settle([[], [(self.heading(event.arm), "heading")]])
            if self.look.live:
                self._region = Region(self.look.console.file)
                self._region.__enter__()
        elif isinstance(event, Drafted):
            self._pending = event.pieces
            self._phase = "checking"
            self._refresh()
        elif isinstance(event, Judged):
            self._judged(event)
        elif isinstance(event, Finished):
            if not self.rounds:
                self._feed(event.tail, "")
            self._close()

    @property
    def width(self) -> int:
        return self.look.console.width

    def heading(self, name: str) -> str:
        return heading(name, self.width)

    def _begin(self, arm: str, budget: float | None = None) -> None:
        self._arm = arm
        self._width = self.width
        self._flow = Flow(self._width)
        self._pending = ()
        self._phase = "drafting"
        self._waiting = ""
        self._tokens = self._calls = self._judged_count = self._accepted = 0
        self._budget = budget
        self._spent = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._t_ms = 0.0
        self._drawn_at = float("-inf")

    def _judged(self, event: Judged) -> None:
        self._pending = ()
        self._phase = "copying" if event.source == "lookup" else "drafting" if event.mode == "on" else "drafting off"
        self._tokens += len(event.tokens)
        self._calls += event.expert_calls
        self._t_ms = event.t_ms
        accepted = sum(token.status in ("agreed", "kept") for token in event.tokens)
        judged = accepted + sum(token.status == "deferred" for token in event.tokens)
        self._accepted += accepted
        self._spent += sum(token.charged or 0.0 for token in event.tokens)
        self._judged_count += judged
        if judged:
            self._recent.append(accepted / judged)
        if self.rounds:
            self._round(event)
        else:
            for number, token in enumerate(event.tokens, event.at):
                text = token.text
                if self.numbers and text:  # before the word, not before the blank that separates it
                    word = text.lstrip() or text
                    self._feed(text[: -len(word)], "")
                    self._feed(str(number).translate(SMALL), "quiet")
                    text = word
                self._feed(text, shown_as(event, token))
        self._refresh()

    def _round(self, event: Judged) -> None:
        """A numbered line; what does not fit is broken as text is."""
        flow = Flow(self.width)
        lines = [*flow.feed(f"{event.round:>4}  ", "quiet")]
        for text, status in round_line(self.look, event):
            lines += flow.feed(text, status)
        self._settle([*lines, *flow.end()])

    def _feed(self, text: str, status: str) -> None:
        for run in self.look.runs(visible(text), status):
            self._settle(list(self._flow.feed(*run)))

    def _settle(self, lines: list[Line]) -> None:
        """Lines that stay: written at once, or above the region with the next drawing."""
        text = "".join(self.look.styled(line) + "\n" for line in lines)
        if self._region is None:
            self.look.console.file.write(text)
        else:
            self._waiting += text

    def _refresh(self) -> None:
        if self._region is None:
            return
        now = self.clock()
        if now - self._drawn_at >= REFRESH:
            self._drawn_at = now
            self._draw()

    def _draw(self) -> None:
        assert self._region is not None
        width, height = self.look.console.size
        if width != self._width:  # the terminal was resized
            self._width = width
            self._settle(list(self._flow.resize(width)))
        flow = self._flow.copy()
        lines: list[Line] = []
        for piece in self._pending:
            lines += flow.feed(visible(piece.text), "pending")
        lines.append(flow.rest())
        status = self.status()
        drawn = [(self.look.styled(line), "".join(text for text, _ in line)) for line in lines]
        self._region.draw(self._waiting, [*drawn, (self.look.ansi(status, "quiet"), status)], width, height)
        self._waiting = ""

    def status(self) -> str:
        """One line: the arm, its speed, how much of its latest drafts was accepted, how often the expert was asked.

        What says least is shortened or left out first, so that a narrow terminal shows speed and acceptance too.
        """
        arm, tokens, calls = one_line(self._arm), f"{self._tokens} tokens", f"{self._calls} expert calls"
        speed = ratio = share = ""
        if self._t_ms:
            per_second = 1e3 * self._tokens / self._t_ms
            speed = f"{per_second:.1f} tokens/s"
            alone = self._calls == self._tokens and not self._judged_count  # as the expert alone: what differs is noise
            ratio = f"{per_second / self.baseline:.1f}x" if self.baseline and not alone else ""
        if self._judged_count:
            share = f"{self._accepted / self._judged_count:.0%}"
        accepted, few = f"accepted {share}" * bool(share), f"{self._calls} calls" * bool(self._calls)
        left = "" if self._budget is None else nats_left(max(0.0, self._budget - self._spent), self._budget)
        phase, calls = f"{arm} {self._phase}", calls * bool(self._calls)
        room = self._width - 1 - (1 + SHORT) * bool(share)
        choices = (
            (phase, tokens, speed, ratio, calls, accepted, left),
            (phase, tokens, speed, ratio, few, accepted, left),
            (phase, speed, ratio, few, accepted, left),
            (phase, speed, ratio, accepted, left),
            (self._phase, speed, ratio, share, left),
            (self._phase, speed, ratio, share),
            (self._phase, speed, share),
            (speed or self._phase,),
        )
        lines = [" · ".join(filter(None, choice)) for choice in choices]
        line = clip(next((line for line in lines if cells(line) <= room), lines[-1]), self._width - 1)
        free = self._width - 2 - cells(line)  # a blank, and the latest rounds that fit
        bar = "".join(BARS[round(share * 7)] for share in self._recent)[-free:] if free > 0 else ""
        return f"{line} {bar}" if bar else line

    def _close(self) -> None:
        """Settle the last line and take the region away."""
        self._settle(list(self._flow.end()))
        if self._region is not None:
            region, self._region = self._region, None
            region.draw(self._waiting, [("", "")], *self.look.console.size)
            region.__exit__()
            self._waiting = ""
        self.look.console.file.flush()


def heading(name: str, width: int) -> str:
    """A rule across the screen with a name in it."""
    line = f"── {one_line(name)} "
    return clip(line + "─" * (min(width, 72) - cells(line)), width)
