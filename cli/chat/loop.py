"""The chat itself: read a line, do a command or show an answer, say what it cost."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from speccas.core.calibration.planner import Planner, curves_file
from speccas.core.conversation.transcript import Conversation
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.budget import require_budget
from speccas.core.decoding.events import Finish, Finished
from speccas.core.decoding.partly import require_told
from speccas.core.decoding.verify import require_test
from speccas.core.errors import ExpertLost, SpeccasError, Stopped
from speccas.core.looks.legend import Entry, entries
from speccas.core.runtime.generate import PromptRead
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import require_said
from speccas.core.runtime.stop import StopFlag
from speccas.core.session import Asking, Dropped, Session
from speccas.core.tune.advice import is_slow
from speccas.core.tune.store import tuned_of

from ..advice import gain, say_elsewhere, seed_line, tuned_lines
from ..better_files import better_after, better_when_off
from ..hints import hint_of
from ..interrupt import ECHO, interruptible
from ..notes import empty_notes, prompt_notes
from ..play import length_of, load, sampling_of, think_of, wanted_of, warn_of_overlap
from ..served import say_served
from ..settings import Settings
from ..view.header import facts_of, show_header
from ..view.legend import legend_lines, possible
from ..view.plain import write_event
from ..view.progress import Waiting
from ..view.safe import one_line, visible
from ..view.tables import footer
from ..view.theme import Look, make_console, make_look
from ..view.tokens import TokenView
from ..view.told import told
from .commands import COMMANDS, run_command
from .kept import session_file, state_dir
from .sessions import dated, keep_apart, other_pair
from .typed import Typed

NOBODY = -1  # a number that no file has
LEAVE_WITHIN = 2.0  # seconds: a second Ctrl-C that soon leaves
HERE = "chat"
"""The source of a setting that was changed while one chats."""


def asking_of(settings: Settings) -> Asking:
    """How the settings ask for an answer. Raises UsageError."""
    arm = parse_arm(settings.rule[0])
    sampling, length, wanted = sampling_of(settings), length_of(settings), wanted_of(settings)
    require_test(arm.rule, sampling)
    require_budget(arm, sampling)
    return Asking(arm, sampling, length, wanted, settings.raw, think_of(settings))


def carried(before: Settings, settings: Settings) -> Settings:
    """Settings of another pair, with what was changed in the chat so far."""
    values = {name: getattr(before, name) for name, source in before.sources.items() if source == HERE}
    return replace(settings, **values, sources={**settings.sources, **dict.fromkeys(values, HERE)})


def sayable(pair: Pair, settings: Settings, system: str) -> Pair:
    """The pair. Raises UsageError, and frees it, where a system message or the switch for thinking cannot reach it, or
    where its expert's server tells too little."""
    try:
        asking = asking_of(settings)
        require_told(asking.arm, asking.sampling, pair.sent)
        require_said(pair, system, settings.raw, think_of(settings))
    except BaseException:
        pair.close()
        raise
    return pair


class Chat:
    """One chat on a terminal or in a pipe. Use as a context manager: leaving it frees the models."""

    def __init__(
        self,
        settings: Settings,
        start: Conversation,
        view: str,
        other: Callable[[str], Settings],
        *,
        live: bool,
        quiet: bool,
        typed: Typed | None,
        saved: Path | None = None,
    ) -> None:
        """`other`: the settings that this command has with the pair of another name. `typed`: the keyboard of who
        chats; None: one turn. `saved`: the file of a conversation that goes on."""
        self.stop = StopFlag()
        self.view = view
        self.live = live
        self.quiet = quiet
        self.interactive = typed is not None
        self.typed = typed or Typed(NOBODY)
        self.console, self.aside = make_console(), make_console(stderr=True)
        self.other = other
        with self.typed.kept(), interruptible(self.stop):
            self.pair: Pair = sayable(load(settings, self.stop), settings, start.system)
        self.settings = settings
        path = saved or (session_file() if self.interactive else None)  # what goes on stays in its file, one turn too
        self.session = Session(self.pair, asking_of(settings), dated(start), path, Planner(self.pair, curves_file()))
        self.head()
        self._greet()
        for note in other_pair(start, self.pair):
            self.note(note, "warning")
        self.clock: Callable[[], float] = time.monotonic
        self._stopped_at = float("-inf")
        self.own_files: set[Path] = set()
        """Saved or loaded in this chat: they may be saved again."""
        self._told: list[Entry] = []  # what the legend said so far
        self._said_off = self._said_unkept = False

    def __enter__(self) -> "Chat":
        return self

    def __exit__(self, *_: object) -> None:
        warn_of_overlap(self.pair)
        self.pair.close()

    @property
    def look(self) -> Look:
        return make_look(self.console, self.live)

    def say(self, text: str, status: str = "quiet") -> None:
        """What a command has to say: on stderr, so that a pipe gets answers alone. Text of ours (it has a status) is
        broken between words on a terminal; what was typed or written stays as it is."""
        look, text = make_look(self.aside), visible(text)
        text = told(text, self.aside.file) if status else text
        self.aside.file.write(look.ansi(text, status) + "\n")
        self.aside.file.flush()

    def note(self, text: str, status: str = "quiet") -> None:
        """A line that nobody asked for; none with -q."""
        if not self.quiet:
            self.say(text, status)

    def change(self, **values: Any) -> None:
        """Change settings from the next answer on. Raises UsageError."""
        sources = {**self.settings.sources, **dict.fromkeys(values, HERE)}
        self.use(replace(self.settings, **values, sources=sources))

    def use(self, settings: Settings) -> None:
        """Ask by these settings from the next answer on. Raises UsageError."""
        asking = asking_of(settings)
        require_told(asking.arm, asking.sampling, self.pair.sent)
        require_said(self.pair, self.session.conversation.system, asking.raw, asking.think)
        self.session.asking, self.settings = asking, settings

    def _greet(self) -> None:
        """What is to be known of the pair."""
        for line, status in tuned_lines(self.pair, self.settings):
            self.note(line, status)
        self._say_prompt()
        if not self.quiet:
            say_served(self.pair, self.settings)
            with interruptible(self.stop):
                say_elsewhere(self.aside, self.session.planner, [self.session.arm], self.session.asking.sampling)

    def system(self, text: str) -> None:
        """Set the system message. Raises UsageError where it would not reach the model."""
        self.require_said(text)
        self.session.system(text)
        self._say_prompt()

    def require_said(self, system: str) -> None:
        """Raises UsageError where the pair cannot be told this system message."""
        require_said(self.pair, system, self.settings.raw, think_of(self.settings))

    def _say_prompt(self) -> None:
        for note in prompt_notes(self.pair, self.session.conversation.system, self.settings.raw):
            self.note(f"note: {note}", "warning")

    def error(self, error: SpeccasError) -> None:
        hint = hint_of(error)
        lines = [f"error: {one_line(error.message)}", *([f"hint: {one_line(hint)}"] if hint else [])]
        sys.stderr.write("".join(told(line, sys.stderr) + "\n" for line in lines))

    def answer(self, text: str) -> int:
        """One turn; returns the exit code that it would end a process with."""
        plain = self.quiet or not self.console.is_terminal or self.view == "off"
        self.stop.clear()
        self._stopped_at = float("-inf")
        finish: Finish | None = None
        detail = self.view == "rounds" and not plain
        shown = TokenView(self.look, headings=False, rounds=self.view == "rounds", numbers=self.view == "numbers")
        if not plain:
            self.legend()
        shown.baseline = self.session.alone
        with interruptible(self.stop), Waiting(self.aside) as waiting:
            try:
                with shown:
                    for event in self.session.ask(text, detail):
                        if isinstance(event, PromptRead):
                            waiting.tell(f"reading the prompt ({event.role})", event.done / max(1, event.total))
                        elif isinstance(event, Dropped):
                            self.note(
                                f"the context of {event.context} tokens is full: the {event.turns} oldest turns are no "
                                f"longer seen by the models, {event.tokens} tokens are left",
                                "warning",
                            )
                        else:
                            waiting.close()
                            (write_event if plain else shown)(event)
                        if isinstance(event, Finished):
                            finish = event.finish
            except Stopped:  # while the prompt was read: nothing was written yet
                finish = Finish.INTERRUPTED
            except ExpertLost:
                waiting.close()
                self.note("cut short; this turn is left out of what the models see", "warning")
                raise
        if finish is Finish.INTERRUPTED:
            return self._interrupted()
        for note in empty_notes([self.session.last.figures]) if self.session.last is not None else ():
            self.note(f"note: {note}", "warning")
        self._footer(finish, detail)
        return 0

    def head(self) -> None:
        """Both models and the settings, where a person reads along."""
        if self.aside.is_terminal and self.console.is_terminal and not self.quiet:
            show_header(make_look(self.aside), facts_of(self.pair, self.settings))
        elif (seed := seed_line(self.settings)) is not None:
            self.note(seed)

    def legend(self) -> None:
        """What colours mean: once, and what a change of the settings adds to it."""
        if self.quiet or self.view == "off" or not (self.aside.is_terminal and self.console.is_terminal):
            return
        rounds, live = self.view == "rounds", self.look.live
        chain = self.session.pair.chain is not None
        found = possible([self.session.arm], self.settings.draft_tokens, self.settings.lookup, rounds, live, chain)
        look = make_look(self.aside)
        new = [each for each in entries(found, marked=not look.colour) if each not in self._told]
        look.write(legend_lines(look.console.width, new))
        self._told += new

    def _interrupted(self) -> int:
        self._stopped_at = self.clock()
        self.note("stopped; this turn is left out of what the models see. Ctrl-C once more, or Ctrl-D, leaves")
        return 0 if self.interactive else 130

    def _footer(self, finish: Finish | None, detail: bool) -> None:
        """Figures of the answer, and a plain warning when the pair makes it slower. `detail`: probabilities were
        recorded, so its speed does not count."""
        last = self.session.last
        if self.quiet or last is None or not self.console.is_terminal:
            return
        alone = 0.0 if detail or last.arm.rule is None else self.session.measure_alone()
        seed = last.sampling.seed if last.sampling.temperature > 0 else None
        used = len(last.prompt.ids) + last.figures.tokens, self.pair.context
        self.note(footer(last.figures, alone, seed, used))
        speed = last.figures.tokens_per_second
        drafted = bool(last.figures.drafted)  # where nothing was, no draft made it slower
        if drafted and speed and alone and is_slow(speed / alone, last.figures.tokens, self.settings.draft_tokens):
            better = self._better(last.arm.name)
            if files := better_after(self.pair, replace(last.figures, speedup=speed / alone)):
                better += f". {files.sentence}"
            self.note(f"slower than the expert ({speed / alone:.1f}x): {better}", "warning")
        elif not self._said_off and (off := better_when_off(self.pair, last.figures, self.session.planner.latency)):
            self._said_off = True
            self.note(f"drafts were left off, as none would pay. {off.sentence}")
        if finish is Finish.CONTEXT:
            self.note("the context is full; /clear starts anew, the next question lets the oldest turns go", "warning")

    def _better(self, rule: str) -> str:
        """Which setting to try, as it is typed here."""
        k = self.settings.draft_tokens
        tuned = tuned_of(self.pair.profile)
        if tuned is not None and (tuned.rule, tuned.draft_tokens) != (rule, k):
            return f"tune found /rule {tuned.rule} and /k {tuned.draft_tokens} ({gain(tuned)})"
        return "try /k auto, or another /rule" if k != "auto" else "try another /rule, or /rule expert"

    def loop(self) -> int:
        """Until Ctrl-D, /exit or two Ctrl-C."""
        from .history import KeptHistory
        from .input import Input, Leave

        self.note(f"rule {self.session.arm.name}, context {self.pair.context} tokens. /help says what you can type.")
        self.legend()
        history = KeptHistory(state_dir() / "history")
        if history.unkept is not None:
            self._say_unkept(f"cannot write {state_dir()}: {history.unkept.strerror}")
        read = Input(list(COMMANDS), history, lambda: self.clock() - self._stopped_at < ECHO)
        with idle():
            while True:
                try:
                    text = read(self.typed.draft())
                except Leave as leave:
                    return leave.code
                except KeyboardInterrupt:
                    now = self.clock()
                    if now - self._stopped_at < LEAVE_WITHIN:
                        return 130
                    self._stopped_at = now
                    self.note("Ctrl-C once more, Ctrl-D or /exit leaves")
                    continue
                try:
                    with self.typed.kept():
                        code = self._do(text)
                except SpeccasError as error:
                    self.error(error)
                    continue
                if code is not None:
                    return code
                self._say_unkept()

    def one_turn(self, text: str) -> int:
        """Answer a message, say so where that is to be kept and cannot be, and give the exit code."""
        keep_apart(self)
        code = self.answer(text)
        self._say_unkept()
        return code

    def _say_unkept(self, reason: str = "") -> None:
        """Once: a chat goes on without its files."""
        reason = reason or (self.session.unkept.message if self.session.unkept is not None else "")
        if reason and not self._said_unkept:
            self._said_unkept = True
            self.say(f"nothing of this chat is kept: {reason}; /save FILE writes it elsewhere", "warning")

    def _do(self, text: str) -> int | None:
        """A command or a message; a number ends the chat with it. What stands in three quotes is no command."""
        from .input import unquoted

        keep_apart(self)
        if text.lstrip().startswith("/"):
            self.stop.clear()
            with interruptible(self.stop):
                return 0 if run_command(self, text.strip()) else None
        message = unquoted(text)
        return (self.answer(message) or None) if message.strip() else None

    def change_pair(self, name: str) -> None:
        """Load another pair and go on with the same texts, by its profile where nothing was said here. The old pair
        stays when the new one cannot be loaded."""
        old = self.session
        settings = carried(self.settings, self.other(name))
        pair = sayable(load(settings, self.stop), settings, old.conversation.system)
        warn_of_overlap(self.pair)
        self.pair.close()
        self.pair, self.settings = pair, settings
        self.session = Session(pair, asking_of(settings), old.conversation, old.path, Planner(pair, curves_file()))
        self.head()
        self._greet()


@contextlib.contextmanager
def idle() -> Iterator[None]:
    """Between answers a SIGINT does nothing: it is the echo of one that stopped an answer, from the guarding parent.
    At the prompt Ctrl-C is a key."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
