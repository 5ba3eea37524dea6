"""Every pair by name, and what of it is on this machine. Asks no network."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import SpeccasError
from ..files.fitted import FittedSource
from ..files.found import found_files
from ..files.local import LocalModel, local_model
from ..files.profiles import profiles, read_profile
from ..machine.memory import memory
from ..machine.processor import cpu_name
from ..optimize.store import Optimized, is_whole, optimized_of


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model of a pair; `state` is "have", "partial" or "missing", `path` None where it is not here. `processor`:
    cpu or gpu, where the profile names a file for each and this is the one for that."""

    source: str
    state: str
    bytes: int
    path: str | None
    processor: str | None = None


@dataclass(frozen=True, slots=True)
class ListedMade:
    """Of files that were made here: the pair they are of, the processor they are for, whether it is this one, and what
    the expert lost, in nats a token."""

    of: str
    processor: str
    here: bool
    loss: float


@dataclass(frozen=True, slots=True)
class ListedPair:
    """One pair. `fits`: its memory in this machine's, None where the profile does not say how much it takes.
    `optimized`: None where its files are as they came."""

    name: str
    title: str
    state: str
    bytes: int
    memory_gb: float | None
    fits: bool | None
    licence: str
    gated: bool
    origin: str
    drafter: ListedModel
    expert: ListedModel
    optimized: ListedMade | None = None
    untried: bool = False
    """Whether nobody of speccas has run it."""


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A GGUF file that is here already: `name` can be typed wherever a file can, `program` keeps it there. `head`: by
    its name it is a draft head, for a drafter."""

    name: str
    path: str
    bytes: int
    program: str
    head: bool = False


@dataclass(frozen=True, slots=True)
class PairList:
    """The document of `list --json`. `default_pair`: None where the user chose none; `aliases` by name; `files`: models
    that other programs left here."""

    memory_bytes: int
    pairs: tuple[ListedPair, ...]
    default_pair: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    files: tuple[ListedFile, ...] = ()
    schema: int = 1

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": self.schema,
            "memory_bytes": self.memory_bytes,
            "pairs": [asdict(each) for each in self.pairs],
            "default_pair": self.default_pair,
            "aliases": dict(self.aliases),
            "files": [asdict(each) for each in self.files],
        }


def list_of_pairs(tell: Callable[[SpeccasError], None]) -> PairList:
    """All pairs; `tell` hears of a profile that cannot be read, which is left out."""
    total = memory().total
    found = []
    for path in profiles().values():
        try:
            found.append(_listed(path, total))
        except SpeccasError as error:
            tell(error)
    files = tuple(ListedFile(each.name, str(each.path), each.bytes, each.program, each.head) for each in found_files())
    return PairList(total, tuple(found), files=files)


def _listed(path: Path, total: int) -> ListedPair:
    profile = read_profile(path)
    expert = local_model(profile.expert)
    drafter = replace(expert, source=profile.drafter, bytes=0) if profile.drafter.head else local_model(profile.drafter)
    chain = [] if profile.chain is None else [local_model(profile.chain)]
    states, made = {each.state for each in (drafter, expert, *chain)}, optimized_of(profile)
    if made is not None and states == {"have"} and not is_whole(profile):
        states = {"partial"}
    return ListedPair(
        name=path.stem,
        title=profile.title,
        state=states.pop() if len(states) == 1 else "partial",
        bytes=sum(each.bytes for each in (drafter, expert, *chain)),
        memory_gb=profile.memory_gb or None,
        fits=profile.memory_gb * 1e9 <= total if profile.memory_gb else None,
        licence=profile.licence,
        gated=profile.gated,
        origin=str(path),
        drafter=_model(drafter, profile.fitted.get("drafter")),
        expert=_model(expert, profile.fitted.get("expert")),
        optimized=None if made is None else _made(made),
        untried=profile.untried,
    )


def _model(model: LocalModel, fitted: FittedSource | None) -> ListedModel:
    path = None if model.path is None else str(model.path)
    return ListedModel(str(model.source), model.state, model.bytes, path, None if fitted is None else fitted.taken)


def _made(made: Optimized) -> ListedMade:
    return ListedMade(made.of, made.processor, made.processor == cpu_name(), float(made.loss))
