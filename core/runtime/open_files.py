"""The files of a pair, opened: what they say, and what runs them. Loads nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from ..errors import CannotPair
from ..files.profiles import Profile
from ..files.source import Source
from ..headers.head_kind import inside, inside_bytes, kind_of
from ..headers.heads import require_inside
from .backend import Backend, ModelFile
from .stop import StopFlag

Files = Mapping[str, tuple[Backend, ModelFile]]
"""By role."""


def open_files(profile: Profile, backend: Callable[[Source], Backend], stop: StopFlag | None = None) -> Files:
    """The files of a profile; an expert that a server runs is asked for there. Raises Unavailable, UsageError,
    IntegrityError, and CannotPair where one holds no model, or not the head that it was to hold."""
    pull = profile.name if profile.origin else ""
    if profile.expert.url:
        return with_server(profile, backend, pull, StopFlag() if stop is None else stop)
    runs = backend(profile.expert)
    if profile.drafter.head:
        expert = runs.open(profile.expert, pull)
        require_states(expert)
        return {"drafter": (runs, head_inside(expert)), "expert": (runs, replace(expert, with_head=True))}
    found = {}
    for role in profile.roles:
        source = profile.source(role)
        found[role] = (backend(source), backend(source).open(source, pull))
    if kind_of(found["drafter"][1].header) is not None:
        require_states(found["expert"][1])
    return found


def require_states(expert: ModelFile) -> None:
    """Raises CannotPair where a head could not read an expert."""
    if expert.workers:
        raise CannotPair(
            f"a head reads the hidden states of its expert, and those of {expert.path.name} stay on its workers",
            "take a drafter that is a model, or keep the expert here",
        )


def with_server(profile: Profile, backend: Callable[[Source], Backend], pull: str, stop: StopFlag) -> Files:
    """The files here, and the expert that a server runs: the drafter's backend stands for both, and loads one."""
    from .served_expert.load import no_states, open_served

    if profile.drafter.head:
        raise no_states()
    here = {role: profile.source(role) for role in profile.roles if role != "expert"}
    found = {role: (backend(source), backend(source).open(source, pull)) for role, source in here.items()}
    runs, drafter = found["drafter"]
    return {**found, "expert": (runs, open_served(profile.expert, drafter, stop))}


def head_inside(expert: ModelFile) -> ModelFile:
    """The head in an expert's file. Raises CannotPair where there is none that could draft."""
    require_inside(expert.header)
    header = inside(expert.header)
    return ModelFile(expert.path, header, inside_bytes(expert.header), expert.modified_ns, inside=True)
