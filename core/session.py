"""A chat over one loaded pair: ask, undo, ask again. Both caches are kept, so a turn reads only what is new.

Knows conversations and the engine; not the terminal. Everything it has to say comes out as events and values.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .calibration.calibrate import Planner, alone_speed
from .conversation.transcript import Conversation, Turn, fingerprint, for_vocabulary, save
from .decoding.answer import Request
from .decoding.arms import Arm, parse_arm, speculation_of
from .decoding.drafts.second_model import common_prefix
from .decoding.engine import review
from .decoding.events import Event, Judged
from .decoding.length.constants import CONSTANTS
from .decoding.length.policy import FixedPolicy
from .decoding.sampling import Sampling
from .errors import IntegrityError, UsageError
from .record.metrics import Figures, Fold
from .runtime.pair import LoadedPair, Prefilled
from .settings import CHECKS, Settings

CHUNK = 512  # tokens of a prompt that are read together (engine.prefill)
ALONE_STEPS = 3  # single expert steps timed once, to know what speculation is measured against
CHANGEABLE = (
    "temperature", "top_k", "top_p", "min_p", "seed", "max_tokens", "stop", "ignore_eos", "draft_tokens",
    "lookup",
)  # fmt: skip
"""Settings of sampling and length, which may change while one chats."""


HERE = "chat"
"""The source of a setting that was changed while one chats."""


def carried(before: Settings, settings: Settings) -> Settings:
    """Settings of another pair, with what was changed in the chat so far."""
    values = {name: getattr(before, name) for name, source in before.sources.items() if source == HERE}
    return replace(settings, **values, sources={**settings.sources, **dict.fromkeys(values, HERE)})


@dataclass(frozen=True, slots=True)
class Dropped:
    """The context was full: so many of the oldest turns are no longer seen by the models. They stay in the file."""

    turns: int
    tokens: int
    context: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The last answer, with all that is needed to ask why, or to export it."""

    user: str
    request: Request
    arm: Arm
    fold: Fold
    read: dict[str, int]
    """Tokens of the prompt that each model evaluated; the rest was in its cache."""

    @property
    def figures(self) -> Figures:
        return self.fold.figures()


class Session:
    """One conversation. `path` is where it is saved after every turn; None keeps it in memory."""

    def __init__(
        self,
        pair: LoadedPair,
        settings: Settings,
        conversation: Conversation,
        path: Path | None,
        planner: Planner | None = None,
    ) -> None:
        self.pair = pair
        self.settings = settings
        self.path = path
        self.planner = planner or Planner(pair)
        self.vocabulary = fingerprint(pair.tokens.texts)
        self.conversation = self._known(conversation)
        self.last: Answered | None = None
        self.alone: float | None = None
        """Tokens a second of the expert alone, measured once on this conversation."""
        self._again = 0
        self._edges: dict[int, tuple[Turn, int, int]] = {}
        """By turn: how far both caches reached when it was answered here."""

    @property
    def arm(self) -> Arm:
        """What decides in the next answer."""
        return parse_arm(self.settings.rule[0])

    @property
    def seed(self) -> int:
        """Depends on the turn and on how often it was asked again, never on turns that were undone."""
        turns = sum(turn.seen for turn in self.conversation.turns)
        return self.settings.seed + 1000 * turns + self._again

    def sampling(self) -> Sampling:
        s = self.settings
        return Sampling(s.temperature, s.top_k, s.top_p, s.min_p, self.seed)

    def length(self, user: str | None = None, first: int | None = None) -> int:
        """Tokens of the conversation as the models would see it from the turn `first` on."""
        messages, known = self.conversation.messages(user, first)
        return len(self.pair.conversation_ids(messages, known)) if messages else 0

    def ask(self, user: str, detail: bool = False) -> Iterator[Event | Prefilled | Dropped]:
        """Answer a message. The turn is in the conversation, and saved, before the last event is out; one that was
        stopped stays in the file only. Raises UsageError where the message cannot fit; nothing is changed then."""
        again, sampling, self._again = self._again, self.sampling(), 0
        first = self._room_for(user)
        messages, known = self.conversation.messages(user, first)
        ids = self.pair.prompt_ids(messages, known)
        gone = sum(turn.seen for turn in self.conversation.turns[self.conversation.first : first])
        if gone:
            yield Dropped(gone, len(ids), self.pair.context)
        self._go_back(ids)
        models = {"expert": self.pair.expert, "drafter": self.pair.small}
        before = {role: model.evaluated for role, model in models.items()}
        yield from self.pair.prefill(ids, self.planner.reads(self.arm))
        read = {role: model.evaluated - before[role] for role, model in models.items()}
        s = self.settings
        request = Request(tuple(ids), sampling, s.max_tokens, self.pair.context, s.stop, s.ignore_eos, detail)
        fold = Fold(prefill_seconds=sum(self.pair.prefill_seconds.values()))
        drafting = self.planner.drafting(self.arm)
        for event in self.pair.play(self.arm, request, drafting):
            fold(event)
            if fold.finished is not None:
                self._keep(Answered(user, request, self.arm, fold, read), first, again)
            yield event

    def _room_for(self, user: str) -> int:
        """The oldest turn that the models may see when the message and some answer are to fit."""
        context = self.pair.context
        margin = min(256, context // 8)  # a context with no room for an answer is as good as full
        first = self.conversation.within(lambda first: self.length(user, first), context - margin, context // 2)
        if first > self.conversation.first:  # a message too long by itself is refused without counting any turn
            self.pair.prompt_ids(*self.conversation.messages(user, len(self.conversation.turns)))
        return first

    def _go_back(self, ids: Sequence[int]) -> None:
        """Caches back to where the last answer that stands left them, but for whole chunks that the next prompt shares:
        what is read from there on is read in the very batches of a session that never had the turns in between, so it
        rounds the same."""
        same = common_prefix(self.pair.held, ids)
        if same >= len(ids) - 1:
            return
        last = max((i for i, turn in enumerate(self.conversation.turns) if turn.seen), default=-1)
        turn, expert, drafter = self._edges.get(last, (None, 0, 0))
        if last >= 0 and turn is not self.conversation.turns[last]:
            return
        for model, edge in ((self.pair.expert, expert), (self.pair.small, drafter)):
            if model.rollback is None:
                chunks = max(0, same - edge) // CHUNK * CHUNK if model is self.pair.expert else 0
                model.truncate(min(len(model), edge + chunks))

    def _keep(self, answered: Answered, first: int, again: int) -> None:
        figures, fold = answered.figures, answered.fold
        tokens = [token.id for token in fold.tokens]
        if tokens and self.pair.lexicon.ends(tokens[-1]):
            tokens.pop()
        told = {
            name: value
            for name, value in figures.as_json().items()
            if isinstance(value, int | float | None) and name != "text"
        }
        turn = Turn(
            answered.user, figures.text, tuple(tokens), answered.arm.name, str(figures.finish), told, first, again
        )
        self.last = answered
        self._edges[len(self.conversation.turns)] = (turn, len(self.pair.expert), len(self.pair.small))
        self.conversation = self.conversation.then(turn)
        self.planner.save()
        self.save()

    def save(self, path: Path | None = None) -> None:
        """Write the conversation to `path`, or to the session's own file. Raises UsageError."""
        target = path or self.path
        if target is not None:
            save(self.conversation, target)

    def undo(self) -> Turn:
        """Take the last turn back. Raises UsageError."""
        turn = self.again()
        self._again = 0
        self.save()
        return turn

    def again(self) -> Turn:
        """Take the last turn back to ask it again with another seed; returns it. The file keeps it until there is an
        answer. Raises UsageError."""
        before = self.conversation
        self.conversation = before.undo()
        self.last = None
        self._again = before.turns[-1].again + 1
        return before.turns[-1]

    def restore(self, conversation: Conversation, settings: Settings) -> None:
        """Back to what the conversation and the settings were, where asking again came to nothing."""
        self.conversation, self._again = conversation, 0
        self.settings = self.pair.settings = settings

    def system(self, text: str) -> None:
        """Set the system message; the turns stay."""
        self.conversation = replace(self.conversation, system=text)

    def clear(self) -> None:
        self.conversation = Conversation(self.conversation.system, (), self.vocabulary)
        self.last = None

    def open(self, conversation: Conversation) -> bool:
        """Go on with a saved conversation; False where its ids are of another vocabulary and it is read anew."""
        self.conversation = self._known(conversation)
        self.last = None
        return conversation.vocabulary == self.vocabulary

    def _known(self, conversation: Conversation) -> Conversation:
        """The conversation in this pair's ids. Raises IntegrityError for ids that are no tokens."""
        size = len(self.pair.tokens)
        known = for_vocabulary(conversation, self.vocabulary)
        if any(not 0 <= token < size for turn in known.turns for token in turn.ids or ()):
            raise IntegrityError("the saved session holds ids that are no tokens", "give a file written by /save")
        return known

    def rule(self, text: str) -> None:
        """Decide by another rule from the next answer on. Raises UsageError."""
        parse_arm(text)
        self._changed(rule=(text,))

    def set(self, name: str, value: Any) -> None:
        """Change a setting of sampling or length; "none" takes a limit or a stop text away. Raises UsageError."""
        if name not in CHANGEABLE:
            raise UsageError(f"{name!r} cannot be set in a chat", f"one of {', '.join(CHANGEABLE)}")
        none: dict[str, Any] = {"max_tokens": None, "stop": ()}
        checked = none[name] if value == "none" and name in none else CHECKS[name](name, value)
        self._changed(**{name: checked})

    def _changed(self, **values: Any) -> None:
        sources = {**self.settings.sources, **dict.fromkeys(values, HERE)}
        self.settings = self.pair.settings = replace(self.settings, **values, sources=sources)

    def measure_alone(self) -> float:
        """Tokens a second of the expert alone, here: a few single steps, taken back afterwards. Measured once; 0 where
        it cannot be, for want of room or because it was stopped."""
        if self.alone is None:
            self.alone = alone_speed(self.pair, ALONE_STEPS) or None
        return self.alone or 0.0

    def why(self, index: int) -> Judged:
        """The round of token `index` of the last answer with every number, evaluated again. Raises UsageError."""
        if self.last is None:
            raise UsageError("there is no answer to explain", "ask something first")
        for judged in self.last.fold.rounds:
            if judged.at <= index < judged.at + len(judged.tokens):
                break
        else:
            raise UsageError(f"there is no token {index}: the answer has {len(self.last.fold.tokens)}", "count from 0")
        if self.last.arm.rule is None:  # one model wrote it token by token, whatever the events' size
            judged = replace(judged, at=index, tokens=(judged.tokens[index - judged.at],))
        answer = [token.id for token in self.last.fold.tokens[: judged.at]]
        prompt = [*self.last.request.prompt, *answer]
        for _ in self.pair.prefill(prompt):
            pass
        request = replace(self.last.request, prompt=tuple(prompt))
        speculation = speculation_of(self.last.arm, FixedPolicy(CONSTANTS.longest_draft))
        return review(speculation, self.pair.expert, self.pair.drafter, request, self.pair.lexicon, judged)
