"""The context that a pair is loaded with: asked for, or as much as this machine has room for.

Joins the estimate (`fit`), the machine and the build of llama.cpp; loads nothing.
"""

from collections.abc import Mapping

from ..headers.architecture import DEFAULT_CONTEXT, trained_context
from ..headers.gguf import Header
from ..headers.vocabulary import Verdict, Vocabulary
from ..machine.fit import Model, Room, largest_context, require_fit
from ..machine.memory import memory, resident
from ..settings import Settings
from .llama import MAX_DRAFT, chunk_size, devices, repacked_types, repacks

Files = Mapping[str, tuple[int, Header]]
"""By role: the bytes of a model's file (of every part), and its header."""


def stretch(vocabulary: Vocabulary) -> float:
    """The drafter's context in terms of the expert's: it may spell one token of the expert with several of its own."""
    return 1.0 if vocabulary.shared is None else 1.5


def differing(vocabulary: Vocabulary) -> bool:
    """Whether an index of both vocabularies is held in memory."""
    return vocabulary.verdict not in (Verdict.IDENTICAL, Verdict.PADDED)


def as_loaded(files: Files, vocabulary: Vocabulary, settings: Settings) -> tuple[Model, Model]:
    """Drafter and expert as `load` will load them."""

    def model(role: str, rows: int, gpu_layers: int, longer: float) -> Model:
        size, header = files[role]
        return Model(
            header,
            size,
            rows,
            chunk_size(gpu_layers),
            mapped=not repacks(header),
            repacked=repacked_types(),
            gpu_layers=gpu_layers if devices() else 0,
            stretch=longer,
        )

    return (
        model("drafter", 1, settings.drafter_gpu_layers, stretch(vocabulary)),
        model("expert", MAX_DRAFT + 1, settings.gpu_layers, 1.0),
    )


def room() -> Room:
    """What may be taken now. What this process already has is in the estimate, so it counts as free."""
    gpus = devices()
    return Room(memory().available + resident(), sum(gpu.free for gpu in gpus) if gpus else None)


def fitting_context(files: Files, vocabulary: Vocabulary, settings: Settings) -> int:
    """The context to load with: `--ctx`, the largest that fits for `auto`, else the default. Raises DoesNotFit."""
    models, free, apart = as_loaded(files, vocabulary, settings), room(), differing(vocabulary)
    trained = min(trained_context(header) for _, header in files.values())
    if settings.ctx == 0:
        context = largest_context(models, free, trained, apart) or trained
    else:
        context = settings.ctx or min(trained, DEFAULT_CONTEXT)
    require_fit(models, context, free, apart)
    return context
