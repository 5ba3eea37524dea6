"""A chat over one loaded pair: ask, undo, ask again. Both caches are kept, so a turn reads only what is new."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from .calibration.calibrate import ALONE_STEPS, alone_speed
from .calibration.planner import Planner, Wanted
from .conversation.transcript import Conversation, Turn, fingerprint, for_vocabulary, save
from .decoding.answer import Request
from .decoding.arms import Arm
from .decoding.detail import review
from .decoding.drafts.second_model import common_prefix
from .decoding.events import Event, Finish, Judged, Token
from .decoding.sampling import Sampling
from .errors import ContextFull, NotASession, Stopped, UsageError
from .record.metrics import Figures, Fold
from .runtime.generate import CHUNK, Length, PromptRead, drain, generate, read_prompt
from .runtime.pair import Pair
from .runtime.prompt import Prompt, prompt_of, require_room


@dataclass(frozen=True, slots=True)
class Asking:
    """How the next answer is asked for; all of it may change while one chats."""

    arm: Arm
    sampling: Sampling
    """Its seed is the chat's; each turn has chance of its own."""
    length: Length
    wanted: Wanted
    raw: bool = False
    """Without the chat template."""
    think: bool | None = None
    """Whether the model is to think first; None: as its template has it."""


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
    prompt: Prompt
    arm: Arm
    sampling: Sampling
    fold: Fold
    read: dict[str, int]
    """Tokens of the prompt that each model evaluated, by role; the rest was in its cache."""

    @property
    def figures(self) -> Figures:
        return self.fold.figures()


def kept_ids(tokens: Sequence[Token], text: str, finish: str) -> tuple[int, ...] | None:
    """The ids of an answer that stay in the conversation: without the token that ended it, without a stop text. None
    where a stop text lies within a token: the answer is tokenised anew then, as a message is."""
    ids = tuple(token.id for token in tokens)
    if finish == Finish.END:
        return ids[:-1]
    if finish != Finish.STOP:
        return ids
    ends = [*accumulate((token.bytes for token in tokens), initial=b"")]
    wanted = text.encode()
    return ids[: ends.index(wanted)] if wanted in ends else None


class Session:
    """One conversation. `path` is where it is saved after every turn, if it can be; None keeps it in memory."""

    def __init__(
        self,
        pair: Pair,
        asking: Asking,
        conversation: Conversation,
        path: Path | None = None,
        planner: Planner | None = None,
    ) -> None:
        self.pair = pair
        self.asking = asking
        self.path = path
        self.planner = planner or Planner(pair)
        self.vocabulary = fingerprint(pair.tokens.texts)
        self.conversation = self._known(conversation)
        self.last: Answered | None = None
        self.alone: float | None = None
        """Tokens a second of the expert alone, measured once on this conversation."""
        self.unkept: UsageError | None = None
        """Why its own file could not be written, when it was last tried: a disk that is full fails no answer."""
        self._again = 0
        self._edges: dict[int, tuple[Turn, int, int]] = {}
        """By turn: how far both caches reached when it was answered here."""

    @property
    def arm(self) -> Arm:
        """What decides in the next answer."""
        return self.asking.arm

    @property
    def sampling(self) -> Sampling:
        """Of the next answer. Its chance depends on the turn and on how often it was asked again, never on turns that
        were undone."""
        turns = sum(turn.seen for turn in self.conversation.turns)
        return replace(self.asking.sampling, turn=turns, again=self._again)

    def prompt(self, user: str | None = None, first: int | None = None) -> Prompt:
        """The conversation as the models would see it from the turn `first` on."""
        messages, known = self.conversation.messages(user, first)
        asking = self.asking
        return prompt_of(self.pair, messages, known, asking.raw, asking.think) if messages else Prompt(())

    def ask(self, user: str, detail: bool = False) -> Iterator[PromptRead | Event | Dropped]:
        """Answer a message. The turn is in the conversation, and saved, before the last event is out; one that was
        stopped stays in the file only. Raises UsageError where the message cannot fit; nothing is changed then."""
        again, sampling, self._again = self._again, self.sampling, 0
        first, prompt = self._fitting(user)
        gone = sum(turn.seen for turn in self.conversation.turns[self.conversation.first : first])
        if gone:
            yield Dropped(gone, len(prompt.ids), self.pair.context)
        self._go_back(prompt.ids)
        before = self._evaluated()
        read: dict[str, int] = {}
        fold, asking = Fold(), self.asking
        drafting = self.planner.drafting(asking.wanted)
        for event in generate(self.pair, prompt, asking.arm, sampling, asking.length, drafting, detail=detail):
            if isinstance(event, PromptRead):
                yield event
                continue
            read = read or {role: count - before[role] for role, count in self._evaluated().items()}
            fold(event)
            if fold.finished is not None:
                self._keep(Answered(user, prompt, asking.arm, sampling, fold, read), first, again)
            yield event

    def _evaluated(self) -> dict[str, int]:
        return {"expert": self.pair.expert.evaluated, "drafter": self.pair.drafter.evaluated}

    def _fitting(self, user: str) -> tuple[int, Prompt]:
        """The oldest turn that the models may see when the message and some answer are to fit, and the prompt from
        there on. Raises UsageError."""
        context = self.pair.context
        margin = min(256, context // 8)  # a context with no room for an answer is as good as full
        made: dict[int, Prompt] = {}

        def length(first: int) -> int:
            made[first] = self.prompt(user, first)
            return len(made[first].ids)

        first = self.conversation.within(length, context - margin, context // 2)
        if first > self.conversation.first:  # a message that is too long by itself is refused without counting turns
            require_room(self.pair, self.prompt(user, len(self.conversation.turns)))
        return first, require_room(self.pair, made.get(first) or self.prompt(user, first))

    def _go_back(self, ids: Sequence[int]) -> None:
        """Caches back to where the last answer that stands left them, but for whole chunks that the next prompt shares:
        what is read from there on is read in the very batches of a session that never had the turns in between, so it
        rounds the same."""
        same = common_prefix(self.pair.cached, ids)
        if same >= len(ids) - 1:
            return
        last = max((i for i, turn in enumerate(self.conversation.turns) if turn.seen), default=-1)
        turn, expert, drafter = self._edges.get(last, (None, 0, 0))
        if last >= 0 and turn is not self.conversation.turns[last]:
            return
        for model, edge in ((self.pair.expert, expert), (self.pair.drafter, drafter)):
            chunks = max(0, same - edge) // CHUNK * CHUNK if model is self.pair.expert else 0
            model.truncate(min(len(model), edge + chunks))

    def _keep(self, answered: Answered, first: int, again: int) -> None:
        figures, fold = answered.figures, answered.fold
        ids = kept_ids(fold.tokens, figures.text, figures.finish)
        told = {
            name: value
            for name, value in figures.as_json().items()
            if isinstance(value, int | float | None) and name != "text"
        }
        turn = Turn(answered.user, figures.text, ids, answered.arm.name, str(figures.finish), told, first, again)
        self.last = answered
        with suppress(Stopped, ContextFull):  # the next turn may be undone
            self.pair.expert.mark()
        self._edges[len(self.conversation.turns)] = (turn, len(self.pair.expert), len(self.pair.drafter))
        self.conversation = self.conversation.then(turn)
        self.planner.save()
        self._save()

    def save(self, path: Path) -> None:
        """Write the conversation to `path`. Raises UsageError."""
        save(self.conversation, path)

    def _save(self) -> None:
        """Write it to the session's own file."""
        self.unkept = None
        try:
            if self.path is not None:
                save(self.conversation, self.path)
        except UsageError as error:
            self.unkept = error

    def undo(self) -> Turn:
        """Take the last turn back. Raises UsageError."""
        turn = self.again()
        self._again = 0
        self._save()
        return turn

    def again(self) -> Turn:
        """Take the last turn back to ask it again with another seed; returns it. The file keeps it until there is an
        answer. Raises UsageError."""
        before = self.conversation
        self.conversation = before.undo()
        self.last = None
        self._again = before.turns[-1].again + 1
        return before.turns[-1]

    def restore(self, conversation: Conversation) -> None:
        """Back to what the conversation was, where asking again came to nothing."""
        self.conversation, self._again = conversation, 0

    def system(self, text: str) -> None:
        """Set the system message; the turns stay."""
        self.conversation = replace(self.conversation, system=text)

    def clear(self) -> None:
        self.conversation = replace(self.conversation, turns=())
        self.last = None

    def open(self, conversation: Conversation) -> bool:
        """Go on with a saved conversation; False where its ids are of another vocabulary and it is read anew."""
        self.conversation = self._known(conversation)
        self.last = None
        return conversation.vocabulary == self.vocabulary

    def _known(self, conversation: Conversation) -> Conversation:
        """The conversation in this pair's ids, and as one of this pair. Raises IntegrityError for ids that are no
        tokens."""
        size = len(self.pair.tokens)
        drafter, expert = (self.pair.files[role].path.name for role in ("drafter", "expert"))
        known = for_vocabulary(conversation, self.vocabulary)
        known = replace(known, pair=self.pair.name, drafter=drafter, expert=expert)
        if any(not 0 <= token < size for turn in known.turns for token in turn.ids or ()):
            raise NotASession("the saved session holds ids that are no tokens")
        return known

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
        prompt = self.last.prompt.then([token.id for token in self.last.fold.tokens[: judged.at]])
        drain(read_prompt(self.pair, prompt))
        request = Request(prompt.ids, self.last.sampling, context=self.pair.context, detail=True)
        return review(self.last.arm, self.pair.expert, self.pair.drafts, request, self.pair.lexicon, judged)
