"""What can be made of a pair's files, and what that takes: from their headers, before anything is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import CannotPair, DoesNotFit, UsageError
from ..files.profiles import Profile
from ..headers.architecture import DEFAULT_CONTEXT, require_language_model, template, trained_context
from ..headers.head_kind import kind_of
from ..headers.vocabulary import Tokens, compare, require_pair
from ..machine.fit import estimate
from ..runtime.backend import ROLES, Backend, LoadOptions, ModelFile
from ..runtime.backends import backend_of
from ..runtime.open_files import open_files
from ..runtime.room import differing, footprints, room
from .candidates import CANDIDATES, FileCandidate, four_bits, mean_bits, possible, quantised_bytes
from .store import require_free
from .trim import require_trimmable, selected, trimmed_bytes
from .usage import default_sizes, usage


@dataclass(frozen=True, slots=True)
class OptimizePlan:
    """What to make better, and how far. `name`: of the pair to write."""

    name: str
    profile: Profile
    options: LoadOptions
    max_loss: float = 0.03
    """Nats a token that the new expert may lose against its source."""
    vocabulary: int | None = None
    """Tokens that the drafter keeps: None by the size of its vocabulary, 0 all."""
    types: tuple[str, ...] = ()
    """Candidates to make, all of them; none: one after another, until one is good."""
    layers: int | None = None
    """Of the expert, whose first so many are the drafter; None: the pair's own drafter."""
    tokens: int = 48
    """Most tokens of each answer of the proof."""


@dataclass(frozen=True, slots=True)
class OptimizeSurvey:
    """What may be made. `left_out`: by role and candidate, why it is not."""

    files: Mapping[str, ModelFile]
    kinds: Mapping[str, Sequence[FileCandidate]]
    left_out: Mapping[str, Mapping[str, str]]
    vocabularies: tuple[int, ...]
    """Tokens that the drafter may be trimmed to, fewest first; none: it is not."""
    untrimmed: str
    """Why it is not."""
    disk: int
    """Bytes that are needed while files are judged."""
    memory: int
    """Bytes that both pairs take together."""
    bits: float
    """A weight of the expert."""
    four_bits: bool
    """Whether the expert has so few bits that making it anew loses twice."""

    @property
    def names(self) -> list[str]:
        """Of the candidates that some file can be made into, in their order."""
        found = {each.name for kinds in self.kinds.values() for each in kinds}
        return [name for name in CANDIDATES if name in found]


def survey(plan: OptimizePlan) -> OptimizeSurvey:
    """Raises every error of a file that cannot be opened; CannotPair (a mixture of experts, no pair);
    UsageError (an expert that nothing can be made of, a vocabulary that cannot be trimmed as asked for, a name that is
    taken); DoesNotFit (no room for the old and the new pair in memory)."""
    require_free(plan.name)
    opened = open_files(plan.profile, backend_of)
    files = {role: file for role, (_, file) in opened.items()}
    expert, drafter = files["expert"], files["drafter"]
    if kind_of(drafter.header) is not None:
        name = f"the head in {drafter.path.name}" if drafter.inside else f"{drafter.path.name}, a head"
        raise CannotPair(
            f"of {name}, nothing is made: it reads the states of the expert's file as it is",
            "take a pair whose drafter writes by itself (tiny-model is one)",
        )
    require_language_model(drafter.header, drafter.path)
    kinds: dict[str, list[FileCandidate]] = {}
    left: dict[str, dict[str, str]] = {}
    for name in plan.types:
        if name not in CANDIDATES:
            raise UsageError(f"{name!r} is no type that files are made of", f"one of {', '.join(CANDIDATES)}")
    kinds["expert"], left["expert"] = possible(expert.header)
    try:
        kinds["drafter"], left["drafter"] = possible(drafter.header)
    except (UsageError, CannotPair) as error:
        kinds["drafter"], left["drafter"] = [], dict.fromkeys(CANDIDATES, error.message)
    if plan.types:
        kinds = {role: [each for each in found if each.name in plan.types] for role, found in kinds.items()}
    vocabularies, why = trimmed_to(plan.vocabulary, drafter)
    made = [quantised_bytes(files[role].header, each) for role in ROLES for each in kinds[role][:1]]
    return OptimizeSurvey(
        files=files,
        kinds=kinds,
        left_out=left,
        vocabularies=vocabularies,
        untrimmed=why,
        disk=2 * sum(made) + (trimmed_bytes(drafter.header, vocabularies[-1]) if vocabularies else 0),
        memory=require_both(opened, plan.options),
        bits=mean_bits(expert.header),
        four_bits=four_bits(expert.header),
    )


def trimmed_to(asked: int | None, drafter: ModelFile) -> tuple[tuple[int, ...], str]:
    """Tokens that a drafter may be trimmed to, or none and why it keeps them all. Raises UsageError where it was asked
    for and cannot be."""
    if asked == 0:
        return (), "as it was asked for"
    header = drafter.header
    if asked:
        tokens = require_trimmable(header, asked)
        return (len(selected(header, asked, usage(tokens, template(header)))[1].ids),), ""
    sizes = default_sizes(len(Tokens.of(header)))
    if not sizes:
        return (), "its vocabulary is small"
    try:
        require_trimmable(header, sizes[0])
    except UsageError as error:
        return (), error.message
    return sizes, ""


def require_both(files: Mapping[str, tuple[Backend, ModelFile]], options: LoadOptions) -> int:
    """Bytes that the pair takes twice: files are compared side by side. Raises CannotPair, and DoesNotFit where this
    machine has no room for that."""
    vocabulary = compare(*(Tokens.of(files[role][1].header) for role in ROLES))
    require_pair(vocabulary, *(files[role][1].path.name for role in ROLES))
    context = options.ctx or min(DEFAULT_CONTEXT, *(trained_context(file.header) for _, file in files.values()))
    models, free = footprints(files, vocabulary, options), room(files)
    wanted = estimate((*models, *models), context, differing(vocabulary))
    if options.memory_check and not wanted.fits(free):
        raise DoesNotFit(
            f"the old and the new pair are loaded together to compare them: {wanted.total / 1e9:.2f} GB at a context "
            f"of {context} tokens, and {free.memory / 1e9:.2f} GB are free",
            context=0,
        )
    return wanted.total
