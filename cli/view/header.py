"""Who answers and who drafts, under which settings: the lines above a run. Reads what a manifest says, of a loaded pair
or of a trace."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from speccas.core.record.exactness import OptimizedFacts, exactness, held_back

from .flow import Line, broken, cells
from .legend import possible, show_legend
from .safe import one_line
from .theme import Look

if TYPE_CHECKING:
    from speccas.core.decoding.arms import Arm
    from speccas.core.runtime.pair import Pair

    from ..settings import Settings

ROLES = {
    "expert": "decides every word",
    "drafter": "writes ahead for the expert",
    "first": "writes ahead for the drafter",
}
"""What each model is, in a few words; most runs have two."""
INDENT = max(map(len, ROLES)) + 1
CONFIDENCE = "confidence_temperature"
SHOWN = {
    "pair": "pair",
    "k": "k",
    "chain_rule": "between the drafters",
    "chain_k": "at k",
    "temperature": "temperature",
    "seed": "seed",
    "budget": "budget",
    CONFIDENCE: "confidence read at",
}
"""Settings in the last line: key of the manifest, and its word there."""


def facts_of(pair: "Pair", settings: "Settings") -> dict[str, Any]:
    """What the header needs of the manifest, without the hashes: those read whole files."""
    models = {
        role: {"file": file.path.name, "quant": file.header.file_type, "parameters": file.header.parameters}
        for role, file in pair.files.items()
    }
    named: dict[str, Any] = {} if settings.expert else {"pair": pair.name}  # two files: the lines above name them
    if made := OptimizedFacts.of_profile(pair.profile):
        named["optimized"] = asdict(made)
    shown = ("temperature", "repeat_penalty", "repeat_last_n", "seed", "budget", CONFIDENCE)
    if pair.chain is not None:
        named |= {"chain_rule": pair.chain.inner.name, "chain_k": pair.chain.inner.k}
    return {**models, **named, "k": settings.draft_tokens, **{name: getattr(settings, name) for name in shown}}


def header_lines(facts: Mapping[str, Any], width: int) -> list[Line]:
    """A line a model, one of what `exact` means where the expert was made here, one of settings, and one of a
    repetition penalty; broken where the width is too small. What decides nothing is left out, and so is what a trace
    does not know."""
    lines: list[Line] = []
    for role, does in ROLES.items():
        if isinstance(facts.get(role), Mapping):
            name, *about = model(facts[role])
            told = f" {' '.join(about)}: {does}" if about else f": {does}"
            lines.append([(f"{role:<{INDENT}}", "quiet"), (name, "heading"), (told, "quiet")])
    if told := exactness(facts):
        lines.append([(" " * INDENT + one_line(told), "quiet")])
    idle = [
        key for key, off in (("seed", not facts.get("temperature")), (CONFIDENCE, facts.get(CONFIDENCE) == 1)) if off
    ]
    shown = {key: word for key, word in SHOWN.items() if key not in idle}
    settings = [f"{word} {written(facts[key])}" for key, word in shown.items() if facts.get(key) is not None]
    for told in (" · ".join(settings), one_line(held_back(facts))):
        if told:
            lines.append([(" " * INDENT * bool(lines) + told, "quiet")])
    return [part for line in lines for part in fitted(line, width)]


def fitted(line: Line, width: int) -> list[Line]:
    whole = sum(cells(text) for text, _ in line) <= width
    return [line] if whole else list(broken(line, width, INDENT))


def model(facts: Mapping[str, Any]) -> list[str]:
    """Name, size and file type, each once: the name of a file often ends with its type."""
    quant, parameters = one_line(str(facts.get("quant") or "")), facts.get("parameters")
    name = one_line(PurePath(str(facts.get("file") or "?")).name).removesuffix(".gguf")
    if quant and name.lower().endswith(quant.lower()) and len(name) > len(quant):
        name = name[: -len(quant)].rstrip(".-_ ") or name
    size = count(parameters) if isinstance(parameters, int | float) else ""
    return [name, *filter(None, (size, quant))]


def count(parameters: float) -> str:
    """135M, 1.5B."""
    if parameters < 1e9:
        return f"{parameters / 1e6:.0f}M"
    return f"{parameters / 1e9:.1f}".removesuffix(".0") + "B"


def written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else one_line(str(value))


def show_header(look: Look, facts: Mapping[str, Any]) -> None:
    """Write it on the look's console."""
    look.write(header_lines(facts, look.console.width))


def introduce(
    look: Look, pair: "Pair", settings: "Settings", arms: Sequence["Arm"], *, rounds: bool, live: bool
) -> None:
    """Header and legend above an answer of this pair. `live`: drafts are seen while they wait."""
    show_header(look, facts_of(pair, settings))
    show_legend(look, possible(arms, settings.draft_tokens, settings.lookup, rounds, live, pair.chain is not None))
    look.write([[]])
