"""A pair with both models in memory: open, tokenise, prefill, play an arm. Where files meet the engine.

Knows every module of `models` and the engine's front door; not what is shown of it.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..conversation.template import Message
from ..conversation.tokenize import chat_ids, raw_ids
from ..decoding.answer import Request
from ..decoding.arms import Arm, play
from ..decoding.drafts.second_model import Heading, ModelDrafter, common_prefix
from ..decoding.engine import prefill
from ..decoding.events import Event, Judged
from ..decoding.length.policy import Policy
from ..errors import IntegrityError, RollbackRefused, UsageError
from ..files.local import hash_file, locate, size_of
from ..files.profiles import Profile, find_profile
from ..files.source import Source, parse_source
from ..headers.architecture import require_language_model, template
from ..headers.gguf import Header, read_header
from ..headers.vocabulary import Tokens, Verdict, compare, require_pair
from ..settings import Settings
from .llama import MAX_DRAFT, LlamaModel, StopFlag
from .room import fitting_context, stretch

CHECK_AT_LOAD = 64 << 20  # bytes; a larger file is hashed by `verify`, not on every start
HEADINGS = 1 << 19  # tokens of rendered prompts that are remembered; the oldest are forgotten

OnLoad = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Prefilled:
    """How far the prompt is read: tokens of one model, and the seconds it has taken in it."""

    role: str
    done: int
    total: int


class LoadedPair:
    """Both models of a pair. Use as a context manager: leaving it frees them."""

    def __init__(
        self, pair: Profile, settings: Settings, stop: StopFlag | None = None, on_load: OnLoad | None = None
    ) -> None:
        """Locate, check and load both files. Raises every error of `locate`, `read_header`, `require_pair` and
        `LlamaModel`; on any of them nothing stays loaded."""
        self.pair = pair
        self.settings = settings
        pull = pair.name if pair.origin else ""
        sources = (("drafter", pair.drafter), ("expert", pair.expert))
        self.files = {role: open_file(source, pull) for role, source in sources}
        for path, header in self.files.values():
            require_language_model(header, path)
        self.tokens = Tokens.of(self.expert_header)
        self.vocabulary = compare(Tokens.of(self.drafter_header), self.tokens)
        require_pair(self.vocabulary, self.files["drafter"][0].name, self.files["expert"][0].name)
        sizes = {role: (size_of(path), header) for role, (path, header) in self.files.items()}
        self.context = fitting_context(sizes, self.vocabulary, settings)
        self.stop = StopFlag() if stop is None else stop  # a flag that is not set is false
        self._open = ExitStack()
        try:
            self.expert = self._load("expert", MAX_DRAFT + 1, settings.gpu_layers, on_load)
            self.small = self._load("drafter", 1, settings.drafter_gpu_layers, on_load)
        except BaseException:
            self.close()
            raise
        self.drafter = ModelDrafter(self.small, self.vocabulary, self.small.context)
        self.lexicon = self.expert.lexicon()
        self.held: list[int] = []  # the expert's cache holds a prefix of these
        self._headings: dict[tuple[int, ...], Heading] = {}  # prompts that the drafter reads in words of its own

    def __enter__(self) -> "LoadedPair":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._open.close()

    @property
    def drafter_header(self) -> Header:
        return self.files["drafter"][1]

    @property
    def expert_header(self) -> Header:
        return self.files["expert"][1]

    @property
    def template(self) -> str:
        """The expert's chat template; empty where it has none."""
        return self.expert_header.get("tokenizer.chat_template", str, "")

    def _load(self, role: str, rows: int, gpu_layers: int, on_load: OnLoad | None) -> LlamaModel:
        path, header = self.files[role]
        # A drafter of another vocabulary may spell one token of the expert with several of its own.
        context = self.context if rows > 1 else int(self.context * stretch(self.vocabulary))
        model = LlamaModel(
            path,
            header,
            context=context,
            max_rows=rows,
            threads=self.settings.threads,
            gpu_layers=gpu_layers,
            stop=self.stop,
            on_load=None if on_load is None else lambda share: on_load(role, share),
        )
        self._open.callback(model.close)
        return model

    def conversation_ids(
        self, messages: Sequence[Message], known: Mapping[int, Sequence[int]] | None = None
    ) -> list[int]:
        """The expert's ids of a conversation (with `raw`, or without a template, its texts one after another).
        `known` as in `chat_ids`."""
        if self.settings.raw or not self.template:
            return raw_ids(self.expert, messages, known or {})
        header = self.expert_header
        begin, end = (special_text(self.tokens, header, kind) for kind in ("bos", "eos"))
        return chat_ids(self.expert, self.tokens, self.template, messages, begin, end, known)

    def prompt_ids(self, messages: Sequence[Message], known: Mapping[int, Sequence[int]] | None = None) -> list[int]:
        """As `conversation_ids`. Raises UsageError where they do not fit the context with one token of answer."""
        ids = self.conversation_ids(messages, known)
        if not ids:
            raise UsageError("the prompt is empty", "give some text")
        if len(ids) >= self.context:
            raise UsageError(
                f"the prompt has {len(ids)} tokens, and the context of {self.context} must hold it and an answer",
                "use a larger --ctx, or a shorter prompt",
            )
        self._remember(ids, self._drafters_own(messages, known or {}))
        return ids

    def _drafters_own(self, messages: Sequence[Message], known: Mapping[int, Sequence[int]]) -> list[int]:
        """The conversation as the drafter's own template and tokenizer have it, answers in its spelling of their very
        tokens; empty where it reads the expert's. That is so with one vocabulary, with one template over a vocabulary
        that is part of the other's, without a template, and where its template refuses, cannot be rendered, or makes
        more of it than the drafter has room for."""
        vocabulary, own = self.vocabulary, template(self.drafter_header)
        one = vocabulary.verdict in (Verdict.IDENTICAL, Verdict.PADDED)
        if one or self.settings.raw or not own or not self.template:
            return []
        if vocabulary.verdict is Verdict.SUBSET and own == self.template:
            return []
        begin, end = (special_text(vocabulary.drafter, self.drafter_header, kind) for kind in ("bos", "eos"))
        answers = {i: [each for token in written for each in vocabulary.spell(token)] for i, written in known.items()}
        try:
            ids = chat_ids(self.small, vocabulary.drafter, own, messages, begin, end, answers)
            return ids if len(ids) < self.small.context else []
        except (UsageError, IntegrityError):
            return []

    def _remember(self, ids: Sequence[int], own: Sequence[int]) -> None:
        if not own:
            return
        key = tuple(ids)
        self._headings.pop(key, None)
        self._headings[key] = Heading(key, own)
        while sum(map(len, self._headings)) > HEADINGS and len(self._headings) > 1:
            del self._headings[next(iter(self._headings))]

    def heading(self, ids: Sequence[int]) -> Heading | None:
        """The longest remembered prompt that `ids` begin with; what follows it is an answer, or a part of one."""
        text = tuple(ids)
        found = [key for key in self._headings if text[: len(key)] == key]
        return self._headings[max(found, key=len)] if found else None

    def prefill(self, ids: Sequence[int], drafter: bool = True) -> Iterator[Prefilled]:
        """Read all of a prompt but its last token on both models; what their caches hold of it is kept. Without
        `drafter` it reads it when it is first asked for a draft. The seconds are in `prefill_seconds` afterwards."""
        self.prefill_seconds = {"expert": 0.0, "drafter": 0.0}
        total = len(ids) - 1
        try:
            self.expert.truncate(min(len(self.expert), common_prefix(self.held, ids), total))
        except RollbackRefused:  # a recurrent expert goes back to the beginning or not at all
            self.expert.truncate(0)
        self.held = list(ids)
        before = self.expert.seconds
        for done in prefill(self.expert, ids):
            yield Prefilled("expert", done, total)
        self.prefill_seconds["expert"] = self.expert.seconds - before
        before = self.drafter.seconds
        self.drafter.heading = self.heading(ids)
        self.drafter.follow(ids)
        for done, whole in self.drafter.catch_up() if drafter else ():
            yield Prefilled("drafter", done, whole)
        self.prefill_seconds["drafter"] = self.drafter.seconds - before

    def play(self, arm: Arm, request: Request, drafting: Policy) -> Generator[Event]:
        """The events of one arm, timed by this machine's clock. The prompt is prefilled already."""
        self.held = list(request.prompt)
        events = play(arm, drafting, self.expert, self.drafter, request, self.lexicon, time.perf_counter)
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, Judged):
                    self.held += [token.id for token in event.tokens]
                yield event


def chosen_pair(settings: Settings) -> Profile:
    """The pair that the settings name: two files, or a profile. Raises UsageError."""
    if bool(settings.drafter) != bool(settings.expert):
        missing = "--drafter" if settings.expert else "--expert"
        raise UsageError(f"{missing} is missing", "give both --drafter FILE and --expert FILE, or --pair NAME")
    if settings.expert:
        name = f"{Path(settings.drafter).stem} + {Path(settings.expert).stem}"
        return Profile(name, parse_source(settings.drafter), parse_source(settings.expert))
    return find_profile(settings.pair)


def open_file(source: Source, pull: str = "") -> tuple[Path, Header]:
    """A located file and its checked header. A small file whose hash is known is hashed. `pull` as in `locate`."""
    path = locate(source, pull)
    header = read_header(path)
    if source.sha256 and header.file_bytes <= CHECK_AT_LOAD:
        found = hash_file(path)
        if found != source.sha256:
            raise IntegrityError(
                f"{path} is not the file of this pair: its SHA-256 is {found}", f"expected {source.sha256}"
            )
    return path, header


def special_text(tokens: Tokens, header: Header, kind: str) -> str:
    """The text of the BOS or EOS token, empty where there is none."""
    token = header.get(f"tokenizer.ggml.{kind}_token_id", int, -1)
    return tokens.texts[token].decode("utf-8", "replace") if 0 <= token < len(tokens) else ""
