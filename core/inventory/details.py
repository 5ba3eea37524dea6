"""What the headers of a pair or of one model say, whether the two fit together, and what memory they take."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..files.inspect import Inspected, inspect, inspect_drafter
from ..files.profiles import Profile, find_profile, named
from ..headers.architecture import (
    DEFAULT_CONTEXT,
    AttentionShape,
    template_hash,
    trained_context,
    vocabulary_size,
)
from ..headers.check import PairCheck, judge
from ..headers.head_kind import guessing_layers, inside, kind_of
from ..headers.heads import HeadFacts, require_model, require_writers
from ..headers.mixture import Mixture, never_batches
from ..headers.vocabulary import Tokens, compare
from ..machine.fit import estimate, largest_context
from ..machine.processor import cpu_name
from ..optimize.store import card_files, card_of, optimized_of
from ..runtime.backend import LoadOptions, ModelFile
from ..runtime.backends import backend_of
from ..runtime.room import differing, footprints, room, trained_together

PARTS = ("weights", "cache", "compute", "tables")
DRAFTERS = ("first", "drafter")


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """One model as its header has it. `path` None: it is on the hub only; `sha256` and `licence` None: not known."""

    source: str
    path: str | None
    file: str
    bytes: int
    sha256: str | None
    name: str
    architecture: str
    quant: str
    parameters: int
    layers: int
    embedding: int
    heads: int
    kv_heads: int
    context: int
    tokenizer: str | None
    tokens: int
    template_sha256: str | None
    licence: str | None
    experts: int = 0
    """Of a mixture, in a layer; 0: the model is dense."""
    experts_used: int = 0
    """By one token."""
    remarks: tuple[str, ...] = ()
    fitted: str | None = None
    """For which processor the file is, where the profile names another one too."""
    head: HeadFacts | None = None
    """Where it is a head."""
    head_inside: HeadFacts | None = None
    """Of a model whose file holds one."""
    heads_beside: tuple[str, ...] = ()
    """Files of heads in its folder or repository, by their names; each as it can be typed."""


@dataclass(frozen=True, slots=True)
class MemoryDetails:
    """Bytes that a pair takes at a context of so many tokens, by what for, beside what is free."""

    context: int
    bytes: int
    weights: int
    cache: int
    compute: int
    tables: int
    process: int
    gpu: int
    free: int
    gpu_free: int | None
    fits: bool
    largest_context: int


@dataclass(frozen=True, slots=True)
class MadeDetails:
    """Of files that were made: the pair they are of, for which processor (`here`: this one) and build, and what their
    card found. `loss`: nats a token of the expert against its source; `recipes`: by role, empty where the file is the
    source's own; `figures`: those of the card of the files that were chosen."""

    of: str
    processor: str
    here: bool
    build: str
    loss: float
    vocabulary: int
    card: str
    finding: str
    recipes: Mapping[str, str]
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Details:
    """The document of `show --json`. Of one model `profile`, `vocabulary` and `memory` are None."""

    name: str
    models: Mapping[str, ModelDetails]
    profile: Profile | None = None
    vocabulary: PairCheck | None = None
    memory: MemoryDetails | None = None
    optimized: MadeDetails | None = None
    first_vocabulary: PairCheck | None = None
    """How a chain's first drafter goes with the expert; None where there is none."""
    schema: int = 1

    def as_json(self) -> dict[str, Any]:
        of_pair = {}
        if self.profile is not None:
            of_pair = {key: getattr(self.profile, key) for key in ("title", "licence", "gated", "untried", "origin")}
        return {
            "schema": self.schema,
            "name": self.name,
            "models": {role: asdict(each) for role, each in self.models.items()},
            "vocabulary": None if self.vocabulary is None else self.vocabulary.as_json(),
            "first_vocabulary": None if self.first_vocabulary is None else self.first_vocabulary.as_json(),
            "memory": None if self.memory is None else asdict(self.memory),
            "optimized": None if self.optimized is None else asdict(self.optimized),
            **of_pair,
        }


def details(name: str, context: int | None) -> Details:
    """Of a pair by name, or of one model as it is typed. `context` in tokens as in LoadOptions. Raises every error of
    `named` and `inspect_drafter`, and CannotPair where one is neither a language model nor a head."""
    label, sources = named(name)
    if len(sources) == 1:
        only = inspect(sources["model"], label)
        require_model(only.header, only.file)
        return Details(label, {"model": model_details("model", only)})
    large = inspect(sources["expert"], label)
    small = inspect_drafter(sources["drafter"], large, label)
    models = {"drafter": small, "expert": large}
    check, first = judge(small.header, large.header, (small.bytes, large.bytes)), None
    if "first" in sources:
        smallest = inspect(sources["first"], label)
        require_writers(smallest.header, small.header)
        models = {"first": smallest, **models}
        first = judge(smallest.header, large.header, (smallest.bytes, large.bytes))
    told = {role: model_details(role, each) for role, each in models.items()}
    profile = find_profile(name)
    told |= {role: replace(told[role], fitted=each.told) for role, each in profile.fitted.items()}
    return Details(label, told, profile, check, memory_details(models, context), made_details(profile), first)


def made_details(profile: Profile) -> MadeDetails | None:
    """None where a pair's files are as they came. Raises IntegrityError where the card of made ones is damaged."""
    made = optimized_of(profile)
    if made is None:
        return None
    card, files = card_of(profile), card_files(profile)
    judged = [each for each in card.get("judged") or () if isinstance(each, dict)]
    figures = next((each for each in judged if each.get("name") == card.get("chosen")), {})
    return MadeDetails(
        of=made.of,
        processor=made.processor,
        here=made.processor == cpu_name(),
        build=made.build,
        loss=float(made.loss),
        vocabulary=made.vocabulary,
        card=str(made.card),
        finding=str(card.get("finding", "")),
        recipes={role: each.recipe for role, each in files.items()},
        figures=figures,
    )


def model_details(role: str, each: Inspected) -> ModelDetails:
    """`role`: one of a pair's, or model where it is the only one."""
    header, shape = each.header, AttentionShape.of(each.header)
    mixture = Mixture.of(header) or Mixture(0, 0)
    tokenizer = header.metadata.get("tokenizer.ggml.pre") or header.metadata.get("tokenizer.ggml.model")
    return ModelDetails(
        source=str(each.source),
        path=None if each.path is None else str(each.path),
        file=each.file,
        bytes=each.bytes,
        sha256=each.sha256 or None,
        name=header.name,
        architecture=header.architecture,
        quant=header.file_type,
        parameters=header.parameters,
        layers=shape.layers,
        embedding=shape.embedding,
        heads=shape.heads,
        kv_heads=max(shape.kv_heads, default=0),
        context=trained_context(header),
        tokenizer=None if tokenizer is None else str(tokenizer),
        tokens=vocabulary_size(header),
        template_sha256=template_hash(header),
        licence=each.licence or None,
        experts=mixture.count,
        experts_used=mixture.used,
        head=HeadFacts.of(header),
        head_inside=HeadFacts.of(inside(header)) if guessing_layers(header) and kind_of(header) is None else None,
        heads_beside=() if role in DRAFTERS else each.heads,
        remarks=() if role in DRAFTERS else tuple(never_batches(header, f"the {role}")),
    )


def memory_details(models: Mapping[str, Inspected], asked: int | None) -> MemoryDetails:
    """At the context that was asked for, the largest that fits (0), or the default (None)."""
    headers = {role: each.header for role, each in models.items()}
    small, large = headers["drafter"], headers["expert"]
    vocabulary = compare(Tokens.of(large if kind_of(small) else small), Tokens.of(large))
    first = compare(Tokens.of(headers["first"]), Tokens.of(large)) if "first" in headers else None
    files = {
        role: (
            backend_of(models["expert"].source if each.source.head else each.source),
            ModelFile(each.path or Path(each.file), each.header, each.bytes, inside=bool(each.source.head)),
        )
        for role, each in models.items()
    }
    loaded, free = footprints(files, vocabulary, LoadOptions(), first), room(files, ask=False)
    apart = differing(vocabulary, first)
    trained = trained_together(*headers.values())
    largest = largest_context(loaded, free, trained, apart)
    context = largest if asked == 0 else asked or min(trained, DEFAULT_CONTEXT)
    found = estimate(loaded, context, apart)
    parts = {part: sum(getattr(need, part) for need in found.models) for part in PARTS}
    return MemoryDetails(
        context=context,
        bytes=found.total,
        **parts,
        process=found.process,
        gpu=found.gpu,
        free=free.memory,
        gpu_free=free.gpu,
        fits=found.fits(free),
        largest_context=largest,
    )
