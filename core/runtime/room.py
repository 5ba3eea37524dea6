"""The context that a pair is loaded with: asked for, or as much as this machine has room for. Loads nothing."""

from dataclasses import replace

from ..headers.architecture import DEFAULT_CONTEXT, trained_context
from ..headers.gguf import Header
from ..headers.head_kind import kind_of
from ..headers.vocabulary import Relation, VocabularyMap
from ..machine.fit import Footprint, Room, largest_context, require_fit
from ..machine.memory import memory, resident
from .backend import MAX_DRAFT, LoadOptions
from .heads.load import ROWS as HEAD_ROWS
from .open_files import Files

SPELLED = 3  # tokens of a drafter that one of the expert takes, at most and for a whole draft


def stretch(vocabulary: VocabularyMap) -> float:
    """The drafter's context in terms of the expert's: it may spell one token of the expert with several of its own."""
    return 1.0 if vocabulary.shared is None else 1.5


def rows(role: str, header: Header | None = None, chain: int = 0) -> int:
    """Most rows of one call: the expert judges a whole draft and what is behind it, the drafter writes one token; a
    head of this header computes a whole chunk of them, and the drafter of a `chain` of so many tokens judges them as
    it spells them."""
    if header is not None and kind_of(header) is not None:
        return HEAD_ROWS
    if role == "drafter" and chain:
        return SPELLED * chain + 1
    return MAX_DRAFT + 1 if role == "expert" else 1


def differing(*vocabularies: VocabularyMap | None) -> bool:
    """Whether an index of two vocabularies is held in memory, for any of these."""
    return any(each is not None and each.relation not in (Relation.IDENTICAL, Relation.PADDED) for each in vocabularies)


def footprints(
    files: Files, vocabulary: VocabularyMap, options: LoadOptions, first: VocabularyMap | None = None
) -> tuple[Footprint, ...]:
    """The models as they will be loaded. `first`: how a chain's first drafter goes with the expert."""
    longer = {"first": 1.0 if first is None else stretch(first), "drafter": stretch(vocabulary), "expert": 1.0}
    chain = options.inner.k if "first" in files else 0
    return tuple(
        replace(
            backend.footprint(file, rows(role, file.header, chain), options.layers(role), longer[role]),
            inside=file.inside,
        )
        for role, (backend, file) in sorted(files.items())
        if file.server is None
    )


def room(files: Files, ask: bool = True) -> Room:
    """What may be taken now. What this process already has is in the estimate, so it counts as free. `ask`: whether
    workers are asked what they have. Raises Unavailable where one cannot be."""
    gpus = [free for backend, _ in files.values() if (free := backend.free_gpu_bytes()) is not None]
    found = [backend.free_worker_bytes(file) for backend, file in files.values() if ask and file.workers]
    workers = sum(found) if found else None
    return Room(memory().available + resident(), max(gpus, default=None), workers)


def trained_together(*headers: Header) -> int:
    """Tokens that every model of a pair was trained to see. A head goes as far as its expert."""
    return min(trained_context(each) for each in headers if kind_of(each) is None)


def fitting_context(
    files: Files, vocabulary: VocabularyMap, options: LoadOptions, first: VocabularyMap | None = None
) -> int:
    """The context to load with: as asked for, the largest that fits for 0, else the default; `first` as in
    `footprints`. Raises DoesNotFit, unless that is not to be checked."""
    models, free = footprints(files, vocabulary, options, first), room(files)
    apart = differing(vocabulary, first)
    trained = trained_together(*(file.header for _, file in files.values()))
    if options.ctx == 0:
        context = largest_context(models, free, trained, apart) or trained
    else:
        context = options.ctx or min(trained, DEFAULT_CONTEXT)
    if options.memory_check:
        require_fit(models, context, free, apart)
    return context
