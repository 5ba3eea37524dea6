"""`speccas optimize` as a user runs it: real files made by llama.cpp's quantiser, in real processes.

What a machine finds faster is a matter of its clock, so where the outcome matters the times are given.
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from speccas.core.bench.stats import median
from speccas.core.calibration.calibrate import Curve
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.headers.gguf import read_header
from speccas.core.headers.vocabulary import Tokens
from speccas.core.optimize import survey, workbench
from speccas.core.optimize.confirm import ConfirmedSpeed
from speccas.core.optimize.outcome import OptimizeOutcome, document_of
from speccas.core.optimize.run import optimize
from speccas.core.optimize.store import optimized_of
from speccas.core.optimize.survey import OptimizePlan
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.random_models import random_model
from tests.test_schemas import check

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two random models of one vocabulary, drafter first, in plain numbers: fast to make anew."""
    folder = tmp_path_factory.mktemp("models")
    return random_model(folder / "small.gguf", "plain"), random_model(folder / "large.gguf", "plain", strength=0.6)


def homes(folder: Path) -> dict[str, str]:
    return {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "CACHE", "STATE")}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, value in homes(tmp_path).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def plan(models: tuple[Path, Path], **changes: object) -> OptimizePlan:
    drafter, expert = (Source(path=str(path)) for path in models)
    made = OptimizePlan("mine", Profile("small + large", drafter, expert), LoadOptions(ctx=1024, threads=1), 10.0)
    return replace(made, **changes)  # type: ignore[arg-type]


def timed(monkeypatch: pytest.MonkeyPatch, gain: float) -> None:
    """Times of a machine that reads four tokens of a made file cheaply, and a proof that shows this gain."""
    plain = {1: 1.0, 2: 2.0, 4: 3.2, 8: 6.0, 16: 12.0}

    def side_by_side(pairs: list[Pair]) -> list[Curve]:
        cheap = {**plain, 1: 0.9, 4: 1.4, 8: 2.8}
        return [
            Curve(LatencyModel(dict(plain if "Q4" not in pair.files["expert"].path.name else cheap), 0.2), 1.0)
            for pair in pairs
        ]

    def confirm(*_: object) -> ConfirmedSpeed:
        found = median([gain] * 8)
        return ConfirmedSpeed(8, 64, 1.0, 1.0, 1.1, gain, found, found, found, found, found, found)

    monkeypatch.setattr(workbench, "side_by_side", side_by_side)
    monkeypatch.setattr(workbench, "confirm", confirm)


def told(plan: OptimizePlan) -> tuple[OptimizeOutcome, list[str]]:
    stages: list[str] = []
    outcome = optimize(plan, lambda stage, _: None if stage in stages else stages.append(stage))
    return outcome, stages


@pytest.mark.slow
def test_what_is_shown_to_be_faster_becomes_a_pair(
    models: tuple[Path, Path], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.3)
    before = [path.read_bytes() for path in models]
    outcome, stages = told(plan(models, vocabulary=4096, types=("Q4_0", "IQ4_NL")))
    assert [each.name for each in outcome.judged] == ["Q4_0", "IQ4_NL", "Q4_0, 4,096 tokens"]
    assert outcome.chosen is not None and outcome.chosen.vocabulary in (0, 4096)
    assert "making the expert as Q4_0" in stages and "trimming the drafter" in stages
    profile = find_profile("mine")
    table = optimized_of(profile)
    assert table is not None and table.of == "small + large" and table.loss == round(outcome.chosen.cost, 4)
    folder = Path(table.folder)
    kept = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.gguf"))
    assert kept == sorted(Path(each.path).relative_to(folder).as_posix() for each in (profile.drafter, profile.expert))
    document = json.loads(table.card.read_text())
    check("optimize", document)
    assert document == json.loads(json.dumps(document_of(replace(outcome, seconds=document["seconds"])).as_json()))
    assert "exact against mine" in " ".join((folder / "README.md").read_text().split())
    assert [path.read_bytes() for path in models] == before
    with load_pair(profile, LoadOptions(ctx=256, threads=1)) as pair:
        assert pair.files["expert"].header.file_type == "Q4_0"


@pytest.mark.slow
@pytest.mark.parametrize(("accepted", "kept"), [([0.70, 0.78], 4096), ([0.78, 0.79], 2048), ([0.5, 0.6], 0)])
def test_the_fewest_tokens_are_kept_that_are_accepted_nearly_as_often(
    accepted: list[float], kept: int, models: tuple[Path, Path], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 1.3)
    found = dict(zip((2048, 4096), accepted, strict=True))

    def acceptance(_bench: object, pair: Pair, _facts: object, suite: str = "builtin") -> float:
        return found.get(len(Tokens.of(pair.files["drafter"].header)), 0.8)

    monkeypatch.setattr(survey, "default_sizes", lambda _: (2048, 4096))
    monkeypatch.setattr(workbench.Workbench, "acceptance", acceptance)
    outcome, _ = told(plan(models, types=("Q4_0",)))
    assert [each.vocabulary for each in outcome.judged] == ([0, kept] if kept else [0])
    assert not kept or outcome.judged[-1].acceptance == found[kept]


@pytest.mark.slow
def test_nothing_is_written_where_nothing_is_better(
    models: tuple[Path, Path], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed(monkeypatch, 0.98)
    outcome, _ = told(plan(models))
    assert outcome.confirmed is not None and outcome.profile is None
    assert outcome.finding.startswith("nothing written: the new files were not shown to be faster")
    outcome, _ = told(plan(models, max_loss=-1.0))
    assert outcome.chosen is None and "no file that was made promises to be faster" in outcome.finding
    check("optimize", json.loads(json.dumps(document_of(outcome).as_json())))
    assert not list((here / "data").rglob("*.gguf")) and not list((here / "config").rglob("*.yaml"))


def test_a_dry_run_says_what_it_takes(speccas: Run, models: tuple[Path, Path], tmp_path: Path) -> None:
    drafter, expert = map(str, models)
    files = ("--drafter", drafter, "--expert", expert)
    done = speccas("optimize", *files, "--save-as", "mine", "--dry-run", env=homes(tmp_path))
    assert done.returncode == 0, done.stderr
    for text in ("as Q4_0: about", "not as Q4_K: the rows of", "disk while it runs", "kept as the pair mine"):
        assert text in done.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--save-as", "tiny"], "there is a pair tiny already"),
        (["--save-as", "../x"], "is no name for a pair"),
        ([], "files have no name to save under"),
        (["--save-as", "m", "--max-loss", "much"], "--max-loss 'much' is out of range"),
        (["--save-as", "m", "--vocabulary", "few"], "--vocabulary 'few' is out of range"),
        (["--save-as", "m", "--vocabulary", "64"], "64 tokens are too few"),
        (["--save-as", "m", "--vocabulary", "999999"], "nothing to trim"),
        (["--save-as", "m", "--types", "Q4_0,Q5_0"], "'Q5_0' is no type"),
        (["--save-as", "m", "--from", "Q8_0"], "no file of small + large is on a hub"),
        (["nopair", "--save-as", "m"], "a pair and files of another"),
    ],
)
def test_bad_input_is_one_line(
    speccas: Run, models: tuple[Path, Path], tmp_path: Path, flags: list[str], said: str
) -> None:
    drafter, expert = map(str, models)
    done = speccas("optimize", *flags, "--drafter", drafter, "--expert", expert, "--dry-run", env=homes(tmp_path))
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_damaged_source_and_a_missing_one(speccas: Run, models: tuple[Path, Path], tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    short.write_bytes(models[1].read_bytes()[:-5000])
    for expert, code in ((short, 5), (tmp_path / "none.gguf", 2)):
        flags = ("--drafter", str(models[0]), "--expert", str(expert), "--save-as", "m")
        done = speccas("optimize", *flags, env=homes(tmp_path / "home"))
        assert done.returncode == code and done.stderr.count("error:") == 1, done.stderr
    assert not list((tmp_path / "home").rglob("*.gguf"))


@pytest.mark.slow
def test_the_experts_own_layers_draft(models: tuple[Path, Path], here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed(monkeypatch, 1.3)
    outcome, stages = told(replace(plan(models, vocabulary=0, types=("Q4_0",)), layers=1))
    assert "cutting the expert's layers" in stages and outcome.files is not None
    made = outcome.files["drafter"]
    assert made.recipe.startswith("the first 1 layers of the expert")
    profile = find_profile("mine")
    header = read_header(Path(profile.drafter.path))
    assert header.get("llama.block_count", int, 0) == 1
    with load_pair(profile, LoadOptions(ctx=256, threads=1)) as pair:
        assert pair.files["drafter"].path.is_relative_to(Path(profile.optimized["folder"]))


@pytest.mark.slow
def test_layers_of_an_expert_alone_are_surveyed_and_refused(
    script: str, clean: Mapping[str, str], models: tuple[Path, Path], tmp_path: Path
) -> None:
    flags = [script, "optimize", "--expert", str(models[1]), "--save-as", "m"]
    env = {**clean, **homes(tmp_path)}
    done = subprocess.run([*flags, "--layers", "1", "--dry-run"], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0 and "the expert's first 1 layers" in done.stdout
    done = subprocess.run([*flags, "--layers", "99"], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 2 and "and 99 were wanted" in done.stderr
    assert not list(tmp_path.rglob("*.gguf")) and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "number", "code"),
    [
        ("loading", signal.SIGTERM, 143),
        ("the expert answers", signal.SIGINT, 130),
        ("making the expert", signal.SIGINT, 130),
        ("reading texts with Q4_0", signal.SIGTERM, 143),
    ],
)
def test_an_interrupt_in_any_stage_leaves_nothing(
    script: str,
    clean: Mapping[str, str],
    models: tuple[Path, Path],
    tmp_path: Path,
    stage: str,
    number: signal.Signals,
    code: int,
) -> None:
    flags = ["--drafter", str(models[0]), "--expert", str(models[1]), "--save-as", "m", "--ctx", "1024"]
    process = subprocess.Popen(
        [script, "optimize", *flags, "--max-loss", "10"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**clean, **homes(tmp_path)},
        text=True,
    )
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if stage in line:
            break
    time.sleep(0.05)
    process.send_signal(number)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == code, "".join(seen) + rest
    assert "Traceback" not in rest
    assert not list(tmp_path.rglob("*.gguf*")) and not list((tmp_path / "config").rglob("*.yaml"))
