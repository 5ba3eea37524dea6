"""The whole of it: measure the files as they are, make others, judge them, prove the best, and keep it."""

import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from ..errors import Stopped
from ..files.hashes import remembered_hash
from ..files.local import hash_file
from ..files.profiles import Profile, user_profiles
from ..files.source import Source
from ..machine.processor import cpu_name
from ..runtime.backend import ROLES, ModelFile
from ..runtime.pair import Pair
from ..runtime.stop import StopFlag
from .candidates import CANDIDATES
from .judge import JudgedFiles, most_possible
from .layers import cut_layers
from .outcome import MadeFile, OptimizeOutcome, document_of, readme_of
from .quantize import require_disk
from .store import Optimized, keep, made_folder, register, workplace
from .survey import OptimizePlan, survey
from .workbench import SourceFacts, Tell, Workbench

LEAST = 1.05
"""Where even files of free calls would not be so many times as fast, none are made."""
NOTHING = "nothing to win: were a call of any size as cheap as one of a single token, the pair would be {:.2f}x as fast"
BEST = "the files are of the best types already"
SLOWER = "no file that was made promises to be faster within {:g} nats a token"
NOT_SHOWN = "the new files were not shown to be faster than those that there are"


def optimize(plan: OptimizePlan, tell: Tell, stop: StopFlag | None = None) -> OptimizeOutcome:
    """Make the files of a pair fit this machine, and prove it. The files as they are, and their profile, are not
    touched. Raises as `survey`, DiskFull, NativeError, Stopped; nothing is left behind then."""
    began = time.perf_counter()
    stop = StopFlag() if stop is None else stop
    found = survey(plan)
    with workplace(plan.name) as folder:
        if plan.layers is not None:
            plan = early_exit(plan, found.files["expert"], folder, tell, stop)
            found = survey(plan)
        require_disk(folder, found.disk, "what is made on the way")
        bench = Workbench(plan, found, folder, tell, stop)
        outcome = judged(bench)
        if outcome.chosen is not None:
            confirmed = bench.prove(outcome.source, outcome.chosen)
            if stop:
                raise Stopped("interrupted")
            outcome = replace(outcome, confirmed=confirmed)
            outcome = kept(bench, outcome) if confirmed.shown else replace(outcome, why=NOT_SHOWN)
        return replace(outcome, seconds=time.perf_counter() - began)


def early_exit(plan: OptimizePlan, expert: ModelFile, folder: Path, tell: Tell, stop: StopFlag) -> OptimizePlan:
    """The plan for a drafter that is the expert's first layers, made in the folder."""
    assert plan.layers is not None
    target = folder / f"{expert.path.stem}-first-{plan.layers}.gguf"
    require_disk(folder, expert.bytes, target.name)
    cut_layers(expert.path, target, plan.layers, stop, lambda done, of: tell("cutting the expert's layers", done / of))
    return replace(plan, profile=replace(plan.profile, drafter=Source(path=str(target))))


def judged(bench: Workbench) -> OptimizeOutcome:
    """The source measured, every candidate judged, and the best chosen."""
    plan, found = bench.plan, bench.survey
    with bench.open(plan.profile, "the files as they are") as pair:
        source_facts = bench.source_facts(pair)
        source = bench.measure(pair, source_facts)
        fewer = min(1.0, min(each.bits for each in CANDIDATES.values()) / found.bits)
        ideal = most_possible(source.own.costs, source.acceptance, fewer)
        known = OptimizeOutcome(plan, found, machine_facts(pair), source, ideal)
        if not found.names:
            return replace(known, why=BEST)
        if ideal < LEAST:
            return replace(known, why=NOTHING.format(ideal))
        tried, chosen = bench.judge(pair, source_facts, source)
    if chosen is None:
        return replace(known, judged=tried, why=SLOWER.format(plan.max_loss))
    known = replace(known, judged=tried, chosen=chosen)
    return trimmed(bench, known, chosen, source_facts) if found.vocabularies else known


def machine_facts(pair: Pair) -> dict[str, str | int]:
    build = f"llama-cpp-python {version('llama-cpp-python')}"
    return {"processor": cpu_name(), "build": build, "threads": pair.expert.threads, "context": pair.context}


def trimmed(bench: Workbench, outcome: OptimizeOutcome, chosen: JudgedFiles, facts: SourceFacts) -> OptimizeOutcome:
    """The outcome with the drafter's vocabulary cut, where that promises more."""
    whole, cut = bench.trim(chosen, facts)
    tried = [whole if each is chosen else each for each in outcome.judged]
    if cut is None:
        return replace(outcome, judged=tried, chosen=whole)
    better = cut if cut.times > whole.times else whole
    bench.delete([whole, cut], better)
    return replace(outcome, judged=[*tried, cut], chosen=better)


def kept(bench: Workbench, outcome: OptimizeOutcome) -> OptimizeOutcome:
    """Files, card and profile put where they stay."""
    chosen, plan = outcome.chosen, bench.plan
    assert chosen is not None
    known = replace(outcome, files={role: made_file(bench, role, chosen, outcome) for role in ROLES})
    place = made_folder(plan.name)
    profile = profile_of(known, place)
    known = replace(known, folder=place, profile=user_profiles() / f"{plan.name}.yaml")
    keep(bench.folder, plan.name, document_of(known).as_json(), readme_of(known))
    register(profile)
    return known


def made_file(bench: Workbench, role: str, chosen: JudgedFiles, outcome: OptimizeOutcome) -> MadeFile:
    """Of one file of the chosen pair; a source is hashed once in its life."""
    path, source = chosen.files[role], bench.survey.files[role].path
    bench.tell(f"hashing the {role}", 0.0)
    before = remembered_hash(source)
    cut = role == "drafter" and bench.plan.layers is not None
    if path == source and not cut:
        return MadeFile(str(source), source.stat().st_size, before or "", str(source), before, "")
    kind = chosen.name.partition(",")[0]
    steps = [f"every matrix as {kind}, output and embeddings too (llama_model_quantize, pure)"]
    steps = steps if path != source and kind in [each.name for each in bench.survey.kinds[role]] else []
    if cut:
        steps.insert(0, f"the first {bench.plan.layers} layers of the expert")
    if role == "drafter" and chosen.vocabulary:
        steps.append(f"vocabulary cut to {chosen.vocabulary:,} tokens")
    inside = path.relative_to(bench.folder).as_posix()
    return MadeFile(inside, path.stat().st_size, hash_file(path), str(source), before, "; ".join(steps))


def profile_of(outcome: OptimizeOutcome, place: Path) -> Profile:
    """The new pair's."""
    plan, chosen = outcome.plan, outcome.chosen
    assert chosen is not None and outcome.files is not None
    sources = {}
    for role, made in outcome.files.items():
        path = str(place / made.file) if made.recipe else made.file
        sources[role] = Source(path=path, sha256=made.sha256, bytes=made.bytes)
    made_for = Optimized(
        of=plan.profile.name,
        processor=str(outcome.machine["processor"]),
        build=str(outcome.machine["build"]),
        loss=round(chosen.cost, 4),
        vocabulary=chosen.vocabulary,
        folder=str(place),
    )
    return Profile(
        name=plan.name,
        drafter=sources["drafter"],
        expert=sources["expert"],
        title=f"{plan.profile.name} as {chosen.name}, made for {made_for.processor}",
        licence=plan.profile.licence,
        defaults={**plan.profile.defaults, "draft_tokens": "auto"},
        optimized=asdict(made_for),
    )
