"""Loaded models and pairs for tests: made, asked and prefilled in one line."""

from collections.abc import Callable, Sequence
from pathlib import Path

from speccas.core.conversation.template import Message
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Event
from speccas.core.decoding.model import LanguageModel
from speccas.core.decoding.sampling import Floats, Sampling, distribution
from speccas.core.headers.gguf import read_header
from speccas.core.runtime.backend import ModelFile
from speccas.core.runtime.generate import FixedDrafting, Length, PromptRead, drain, generate, read_prompt
from speccas.core.runtime.llama import LlamaBackend, LlamaContext
from speccas.core.runtime.pair import Pair
from speccas.core.runtime.prompt import Prompt, prompt_of
from speccas.core.runtime.stop import StopFlag


def llama_model(
    path: Path,
    *,
    context: int,
    max_rows: int = 1,
    threads: int = 1,
    stop: StopFlag | None = None,
    on_load: Callable[[float], None] | None = None,
) -> LlamaContext:
    """A GGUF file with one cache, bare; `weights.close()` frees both."""
    file = ModelFile(path, read_header(path), path.stat().st_size)
    return LlamaBackend().load(file, -1, stop, on_load).memory(context, max_rows, threads)


def row(model: LanguageModel, ids: Sequence[int]) -> Floats:
    """Logits behind these tokens, as a copy."""
    return distribution(model.extend(ids)[0]).logits.copy()


def tokens(pair: Pair, text: str, special: bool = False) -> list[int]:
    """The expert's ids of a text."""
    return pair.weights["expert"].tokenize(text, special=special)


def asked(pair: Pair, text: str, raw: bool = False) -> Prompt:
    """The prompt of one user message."""
    return prompt_of(pair, [Message("user", text)], raw=raw)


def prefill(pair: Pair, prompt: Prompt | Sequence[int], drafter: bool = True) -> dict[str, float]:
    """Read all of a prompt but its last token on both models."""
    prompt = prompt if isinstance(prompt, Prompt) else Prompt(tuple(prompt))
    return drain(read_prompt(pair, prompt, drafter))


def answered(
    pair: Pair,
    prompt: Prompt | Sequence[int],
    arm: str,
    tokens: int | None,
    k: int = 4,
    sampling: Sampling | None = None,
    lookup: bool = False,
    ignore_eos: bool = False,
) -> list[Event]:
    """The events of one answer at a fixed draft length."""
    prompt = prompt if isinstance(prompt, Prompt) else Prompt(tuple(prompt))
    length = Length(tokens, ignore_eos=ignore_eos)
    found = generate(pair, prompt, parse_arm(arm), sampling, length, FixedDrafting(k, lookup))
    return [event for event in found if not isinstance(event, PromptRead)]
