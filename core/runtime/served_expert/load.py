"""A served expert, opened and loaded: what stands where a file would, and what answers for its weights."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ...errors import CannotPair, UsageError
from ...files.source import Source
from ...headers.architecture import trained_context
from ...headers.gguf import Header
from ...headers.head_kind import kind_of
from ...headers.vocabulary import Tokens
from ...nearest import did_you_mean
from ..backend import ModelFile, ServedModel, Weights
from ..stop import StopFlag
from .answers import Api
from .connection import Connection
from .context import ServedWeights
from .probe import Probe, find_model, probe
from .sglang import SGLangApi
from .vllm import VLLMApi

APIS: dict[str, Callable[[Connection, int], Api]] = {"sglang": SGLangApi, "vllm": VLLMApi}
"""By the name that is typed. To add one: a class that is an `Api`, and a line here."""
SERVED = "served"
"""What stands for an architecture that nobody here knows."""


def require_api(name: str) -> str:
    """The name of a kind of server. Raises UsageError."""
    if name in APIS:
        return name
    if name in ("llama", "llama.cpp", "llama-server", "openai", "ollama"):
        raise UsageError(f"a server of the kind {name!r} cannot verify a draft", f"known kinds: {', '.join(APIS)}")
    raise UsageError(
        f"there is no kind of server {name!r}", f"{did_you_mean(name, APIS)}known kinds: {', '.join(APIS)}"
    )


def open_served(source: Source, drafter: ModelFile, stop: StopFlag) -> ModelFile:
    """The expert that a server runs, as a file: its vocabulary, template and tokenizer are the drafter's. Raises
    UsageError, ExpertLost, AccessRefused, RequestRefused, CannotPair, Stopped."""
    if kind_of(drafter.header) is not None or drafter.inside:
        raise no_states()
    connection = Connection(source.url, stop)
    try:
        model = find_model(connection, require_api(source.api))
    finally:
        connection.close()
    return ModelFile(Path(model.name), as_expert(drafter.header, model), 0, server=model)


def no_states() -> CannotPair:
    return CannotPair(
        "a head drafts from the expert's hidden states, and a server sends none", "give a drafter that is a model"
    )


def as_expert(header: Header, model: ServedModel) -> Header:
    """The drafter's header without what is of its weights alone, and with the context that the server has."""
    metadata = dict(header.metadata)
    metadata.pop("general.file_type", None)
    metadata |= {"general.architecture": SERVED, "general.name": model.name}
    metadata[f"{SERVED}.context_length"] = model.context or trained_context(header)
    return replace(header, metadata=metadata, tensors=(), file=model.name)


def load_served(file: ModelFile, spoken: Weights, stop: StopFlag) -> tuple[ServedWeights, Probe]:
    """The expert behind a probe of its server. `spoken`: the drafter's weights. Raises as `open_served`."""
    assert file.server is not None
    tokens = Tokens.of(file.header)
    with ExitStack() as opened:
        connection = Connection(file.server.url, stop)
        opened.callback(connection.close)
        api = APIS[file.server.api](connection, len(tokens))
        found = probe(connection, api, file.server, spoken, tokens)
        weights = ServedWeights(api, spoken, len(tokens), found.sent, stop, opened.pop_all().close)
    return weights, found
