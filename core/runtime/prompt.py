"""A conversation as the prompt of a loaded pair: the expert's token ids, and the drafter's own where it has a template
and a vocabulary of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..conversation.said import say
from ..conversation.template import Message
from ..conversation.tokenize import chat_ids, raw_ids
from ..decoding.drafts.second_model import DrafterPrompt
from ..errors import IntegrityError, NoThinking, NotSaid, PromptTooLong, UsageError
from ..headers.architecture import template
from ..headers.gguf import Header
from ..headers.vocabulary import Relation, Tokens, VocabularyMap
from .pair import Pair

LONG = 1 << 20  # bytes: tokenising that much is noticed


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the models read before an answer. `drafter` None: it reads the expert's ids, spelled its way. `first`: the
    same of a chain's first drafter."""

    ids: tuple[int, ...]
    drafter: DrafterPrompt | None = None
    first: DrafterPrompt | None = None

    def then(self, answer: Sequence[int]) -> "Prompt":
        """The prompt with some of an answer behind it."""
        return Prompt((*self.ids, *answer), self.drafter, self.first)


def prompt_of(
    pair: Pair,
    messages: Sequence[Message],
    known: Mapping[int, Sequence[int]] | None = None,
    raw: bool = False,
    think: bool | None = None,
) -> Prompt:
    """The prompt of a conversation up to the assistant's turn; with `raw`, or without a template, its texts one after
    another. `known`: ids of messages by index, for answers that were generated here. `think`: whether the model is to
    think first; None leaves it to the template. Errors as `said.say`: what is said reaches the model or is refused."""
    known = known or {}
    _require_short(pair, messages)
    if raw or not pair.template:
        require_plain(messages, think)
        return Prompt(tuple(raw_ids(pair.weights["expert"], messages, known)))
    begin, end = (special_text(pair.tokens, pair.header("expert"), kind) for kind in ("bos", "eos"))
    ids = tuple(chat_ids(pair.weights["expert"], pair.tokens, pair.template, messages, begin, end, known, think))
    own = _drafters_own(pair, "drafter", pair.vocabulary, pair.drafter.context, messages, known, think)
    firsts: tuple[int, ...] = ()
    if pair.first is not None and pair.first_vocabulary is not None:
        firsts = _drafters_own(pair, "first", pair.first_vocabulary, pair.first.context, messages, known, think)
    return Prompt(ids, *(DrafterPrompt(ids, each) if each else None for each in (own, firsts)))


def require_plain(messages: Sequence[Message], think: bool | None) -> None:
    """Raises NotSaid and NoThinking for what only a chat template could say."""
    if any(message.role == "system" for message in messages):
        raise NotSaid("there is no place for a system message without a chat template")
    if think is not None:
        raise NoThinking("there is no switch for thinking without a chat template")


def require_said(pair: Pair, system: str, raw: bool, think: bool | None) -> None:
    """Raises as `prompt_of` where a system message or the switch for thinking would not reach the model."""
    prompt_of(pair, [*([Message("system", system)] if system else []), Message("user", "x")], None, raw, think)


def folds_system(pair: Pair) -> bool:
    """Whether the expert's template has no place for a system message: it stands at the head of the first message
    then. Errors as `said.say`."""
    begin, end = (special_text(pair.tokens, pair.header("expert"), kind) for kind in ("bos", "eos"))
    talk = [Message("system", "x"), Message("user", "y")]
    return bool(pair.template) and say(pair.template, talk, begin=begin, end=end).folded


def _require_short(pair: Pair, messages: Sequence[Message]) -> None:
    """Raises PromptTooLong where the last message cannot fit, however it is tokenised: before it takes minutes."""
    size = max((len(message.content.strip().encode("utf-8", "replace")) for message in messages[-1:]), default=0)
    if size < LONG:
        return
    least = size // max(1, max(map(len, pair.tokens.texts), default=1))
    if least >= pair.context:
        raise PromptTooLong(
            f"the prompt is {size:,} bytes, at least {least:,} tokens, and the context of {pair.context} must hold it "
            "and an answer"
        )


def require_room(pair: Pair, prompt: Prompt) -> Prompt:
    """The prompt. Raises UsageError where it is empty, PromptTooLong where no token of an answer fits behind it."""
    if not prompt.ids:
        raise UsageError("the prompt is empty", "give some text")
    if len(prompt.ids) >= pair.context:
        raise PromptTooLong(
            f"the prompt has {len(prompt.ids)} tokens, and the context of {pair.context} must hold it and an answer"
        )
    return prompt


def _drafters_own(
    pair: Pair,
    role: str,
    vocabulary: VocabularyMap,
    room: int,
    messages: Sequence[Message],
    known: Mapping[int, Sequence[int]],
    think: bool | None,
) -> tuple[int, ...]:
    """The conversation as a drafter's own template and tokenizer have it, answers in its spelling of their very
    tokens; empty where it reads the expert's. That is so with one vocabulary, with one template over a vocabulary that
    is part of the other's, without a template, and where its template refuses, cannot be rendered, or makes more of it
    than the drafter has room for."""
    header = pair.header(role)
    own = template(header)
    if vocabulary.relation in (Relation.IDENTICAL, Relation.PADDED) or not own:
        return ()
    if vocabulary.relation is Relation.SUBSET and own == pair.template:
        return ()
    begin, end = (special_text(vocabulary.drafter, header, kind) for kind in ("bos", "eos"))
    answers = {i: [each for token in written for each in vocabulary.spell(token)] for i, written in known.items()}
    weights = pair.weights[role]
    try:
        try:
            ids = chat_ids(weights, vocabulary.drafter, own, messages, begin, end, answers, think)
        except NoThinking:  # the expert's thinking is what counts
            ids = chat_ids(weights, vocabulary.drafter, own, messages, begin, end, answers)
    except (UsageError, IntegrityError):
        return ()
    return tuple(ids) if len(ids) < room else ()


def special_text(tokens: Tokens, header: Header, kind: str) -> str:
    """The text of the BOS or EOS token, empty where there is none."""
    token = header.get(f"tokenizer.ggml.{kind}_token_id", int, -1)
    return tokens.texts[token].decode("utf-8", "replace") if 0 <= token < len(tokens) else ""
