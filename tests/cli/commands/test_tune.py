"""`speccas tune` and `doctor --curve` on the tiny pair, in real processes: what is saved, said and used afterwards.

Two prompts cannot show that anything is faster: what is asserted is structure, never a time.
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders.models import TINY, smollm2
from tests.builders.tiers import few_fast

Run = Callable[..., "subprocess.CompletedProcess[str]"]
NARROW = ("--rule", "exact,token:0.3,0.6", "-k", "2,auto", "-n", "8")
SETTINGS = {f"{rule} -k {k}" for rule in ("exact", "token:0.3", "token:0.6") for k in ("2", "auto")}
MINE = "# my own words\ndefaults:\n  temperature: 0.0  # cold\n  rule: token  # mild\n"


def homes(folder: Path) -> dict[str, str]:
    """An environment whose files are all in this folder."""
    return {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "STATE", "CACHE")}


def profile(folder: Path, name: str = "tiny") -> Path:
    return folder / "config/speccas/pairs" / f"{name}.yaml"


def saved(folder: Path, name: str = "tiny") -> Path:
    """What was found, in a file of its own."""
    return folder / "config/speccas/pairs/tuned" / f"{name}.yaml"


@pytest.fixture(scope="module")
def patient(script: str, clean: Mapping[str, str]) -> Run:
    """Runs the script; the limit is only against hanging: a search takes long where other programs run."""

    def run(*arguments: str, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        command = [script, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env={**clean, **env}, timeout=400)

    return run


@dataclass(frozen=True)
class Tuned:
    folder: Path
    env: dict[str, str]
    document: dict[str, Any]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, patient: Run) -> Tuned:
    """A search over two prompts, for a user who has a profile of the pair."""
    folder = tmp_path_factory.mktemp("tune")
    path = profile(folder)
    path.parent.mkdir(parents=True)
    path.write_text((TINY.parent / "tiny.yaml").read_text() + MINE)
    done = patient("tune", "--limit", "2", *NARROW, "--json", env=homes(folder))
    assert (done.returncode, done.stderr) == (0, "")
    return Tuned(folder, homes(folder), json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.tiny
def test_the_document_says_what_was_tried_and_why_it_is_out(tuned: Tuned) -> None:
    found = tuned.document
    assert found["schema"] == 1 and found["max_quality_loss"] == 0.02
    searched = {f"{each['rule']} -k {each['draft_tokens']}" for each in found["searched"]}
    left_out = {f"{name.partition(' ')[0]} -k {k}" for k in found["left_out"] for name in SETTINGS}
    assert searched | left_out == SETTINGS and "exact -k auto" in searched
    finalists = {f"{each['rule']} -k {each['draft_tokens']}" for each in found["finalists"]}
    going = {f"{each['rule']} -k {each['draft_tokens']}" for each in found["searched"] if each["out"] is None}
    assert finalists == going and 1 <= len(finalists) <= 4
    assert [rung["confirmed"] for rung in found["rungs"]] == [False, True]
    for each in found["finalists"]:
        assert each["prompts"] == 1 and each["speedup"]["value"] > 0 and each["speedup"]["low"] is None
        assert not each["faster"] and each["within_floor"] is (each["rule"] == "exact")
        assert each["loss_by_log_prob"]["n"] == 1
    curve = found["curve"]
    assert list(curve["seconds"]) == ["1", "2", "3", "4", "5", "6", "7", "8", "12", "16"]
    assert curve["relative"]["1"] == 1.0 and curve["drafter_step"] > 0
    assert found["manifest"]["bench"]["max_tokens"] == 8


@pytest.mark.slow
@pytest.mark.tiny
def test_nothing_shown_faster_keeps_the_fallback_and_says_so(tuned: Tuned) -> None:
    chosen = tuned.document["chosen"]
    assert chosen | {"rule": "exact", "draft_tokens": "auto", "faster": False, "fallback": True} == chosen
    assert "No setting within the floor was shown to be faster" in tuned.document["finding"]
    assert "give more" in tuned.document["finding"]


@pytest.mark.slow
@pytest.mark.tiny
def test_the_users_profile_is_left_alone(tuned: Tuned) -> None:
    assert profile(tuned.folder).read_text() == (TINY.parent / "tiny.yaml").read_text() + MINE
    data = yaml.safe_load(saved(tuned.folder).read_text())
    assert set(data) == {"date", "machine", "evidence", "models"} and "llama-cpp-python" in data["machine"]
    evidence = data["evidence"]
    assert evidence["rule"] == "exact" and not evidence["faster"] and evidence["prompts"] == 1
    assert (evidence["draft_tokens"], evidence["threads"]) == ("auto", 1)
    assert tuned.document["profile"] == str(profile(tuned.folder))
    assert tuned.document["saved"] == str(saved(tuned.folder))
    assert json.loads(Path(evidence["file"]).read_text()) == tuned.document
    assert Path(evidence["file"]) == profile(tuned.folder).with_name("tiny.tuned.json")
    assert "tiny" in {path.stem for path in profile(tuned.folder).parent.glob("*.yaml")}


@pytest.mark.slow
@pytest.mark.tiny
def test_commands_use_what_was_saved_and_say_so_once(tuned: Tuned, patient: Run) -> None:
    said = "tuned: --rule exact -k auto (nothing was faster than the expert alone;"
    done = patient("run", "Hello.", "-n", "4", env=tuned.env)
    assert done.returncode == 0 and done.stderr.startswith(said) and done.stderr.count("\n") == 1
    assert "tuned" not in done.stdout
    done = patient("chat", "-p", "Hello.", "-n", "4", "--temperature", "0", env=tuned.env)
    assert done.returncode == 0 and done.stderr.startswith(said)
    done = patient("compare", "Hello.", "-n", "4", env={**tuned.env, "COLUMNS": "120"})
    assert done.returncode == 0 and done.stderr.startswith(said)
    assert "── exact" in done.stdout and "── token" not in done.stdout, "the tuned rule is the one that is compared"
    done = patient("compare", "Hello.", "-n", "4", "--json", env=tuned.env)
    document = json.loads(done.stdout)
    assert done.stderr == "" and document["manifest"]["k"] == "auto"
    assert [arm["name"] for arm in document["arms"]] == ["expert", "exact"]
    for command in ("run", "compare"):
        assert patient(command, "Hello.", "-n", "4", "-q", env=tuned.env).stderr == ""


@pytest.mark.slow
@pytest.mark.tiny
def test_a_flag_goes_before_the_profile_and_is_warned_of(tuned: Tuned, patient: Run) -> None:
    done = patient("compare", "Hello.", "-n", "4", "-k", "3", "--json", env=tuned.env)
    assert json.loads(done.stdout)["manifest"]["k"] == 3 and done.stderr == ""
    done = patient("run", "Hello.", "-n", "4", "-k", "3", env=tuned.env)
    assert done.stderr == (
        "warning: tune found nothing faster than the expert alone here, so -k 3 will be slower: use --rule exact "
        "-k auto\n"
    )


@pytest.mark.slow
@pytest.mark.tiny
def test_a_slow_comparison_is_warned_of_on_stderr(patient: Run, tmp_path: Path) -> None:
    """The pair the wrong way round: each draft token costs several of the expert's, so nothing can win."""
    large = smollm2()
    assert large
    files = ("--drafter", str(large), "--expert", str(TINY))
    flags = (*files, "--raw", "--ignore-eos", "-n", "32", "-k", "4", "--rule", "exact")
    done = patient("compare", "The sea", *flags, env=homes(tmp_path))
    assert done.returncode == 0
    swapped, warned = done.stderr.splitlines()
    assert swapped.startswith("note: the drafter is") and swapped.endswith("are they the wrong way round?")
    assert warned.startswith("warning: slower than the expert alone here at -k 4: exact 0.")
    assert "-k auto" in done.stderr and "speccas tune" in done.stderr and "warning" not in done.stdout
    alone = patient("run", "The sea", *flags, env=homes(tmp_path))
    assert alone.returncode == 0
    assert alone.stderr.splitlines()[-1].startswith("warning: slower than the expert alone here at -k 4")
    assert patient("run", "The sea", *flags, "--json", env=homes(tmp_path)).stderr == ""


@pytest.mark.slow
@pytest.mark.tiny
def test_calibrate_fits_the_drafters_confidence_and_saves_it(patient: Run, tmp_path: Path) -> None:
    flags = ("tune", "--limit", "4", "--rule", "confidence:0.5", "-k", "2", "-n", "4")
    done = patient(*flags, "--calibrate", "--json", env=homes(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    found, manifest = document["confidence"], document["manifest"]
    assert found["fitted"] > 1, "the tiny drafter is too sure of itself"
    assert found["temperature"] == manifest["confidence_temperature"]
    assert (found["temperature"] == found["fitted"]) is (found["after"] < found["before"])
    assert found["fitted_on"] > 60 and found["judged_on"] > 60
    kept = yaml.safe_load(saved(tmp_path).read_text())["evidence"]["confidence_temperature"]
    assert kept == (None if found["temperature"] == 1 else found["temperature"])
    used = json.loads(patient("compare", "Hello.", "-n", "4", "--json", env=homes(tmp_path)).stdout)
    assert used["manifest"]["confidence_temperature"] == found["temperature"]
    again = patient(*flags, "--calibrate", "--resume", env=homes(tmp_path))
    assert again.returncode == 0 and "confidence is read" in again.stderr


@pytest.mark.tiny
def test_a_confidence_is_given_or_fitted(patient: Run, tmp_path: Path) -> None:
    done = patient("tune", "--calibrate", "--confidence-temperature", "2", env=homes(tmp_path))
    assert (done.returncode, done.stdout) == (2, "") and "take one of them" in done.stderr


@pytest.mark.slow
@pytest.mark.tiny
def test_what_goes_before_the_profile_is_pointed_out(patient: Run, tmp_path: Path) -> None:
    env = {**homes(tmp_path), "SPECCAS_RULE": "token", "COLUMNS": "200"}
    done = patient("tune", "--limit", "2", "--rule", "exact", "-k", "auto", "-n", "4", env=env)
    assert done.returncode == 0
    assert "warning: rule from the environment goes before the profile" in done.stderr
    assert f"saved: --rule exact -k auto --threads 1 in {saved(tmp_path)}" in done.stdout
    assert "Finalists" in done.stdout and "loss by log-prob = 1 - exp(" in done.stdout
    assert "expert " in done.stderr and "frontier: " in done.stderr and "after 1 prompts: 1 of 1" in done.stderr
    assert "threads, for" not in done.stderr, "the environment names a number"
    assert saved(tmp_path).read_text().startswith("# What tune found.") and not profile(tmp_path).exists()


@pytest.mark.slow
@pytest.mark.tiny
def test_stopped_saves_nothing_says_what_is_known_and_goes_on(
    script: str, clean: Mapping[str, str], patient: Run, tmp_path: Path
) -> None:
    env = homes(tmp_path)
    flags = ("tune", "--limit", "4", *NARROW)
    samples = tmp_path / "state/speccas/tune/tiny/samples.jsonl"
    process = subprocess.Popen([script, *flags], env={**clean, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 400
    while not (samples.exists() and samples.read_bytes().count(b"\n") >= 8):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=400)
    assert process.returncode == 130 and out == b""
    assert (
        b"known so far, of " in error
        and b" settings on at most " in error
        and b"nothing was saved" in error
        and b"--resume goes on" in error
    )
    assert b"Traceback" not in error
    assert not saved(tmp_path).exists() and not profile(tmp_path).with_name("tiny.tuned.json").exists()
    before = samples.read_bytes()
    curve = (samples.parent / "curve.json").read_bytes()
    done = patient(*flags, "--resume", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert samples.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert (samples.parent / "curve.json").read_bytes() == curve
    assert saved(tmp_path).exists()
    again = patient(*flags, "--resume", "--temperature", "0.5", env=env)
    assert again.returncode == 2 and "temperature: 0.0, now 0.5" in again.stderr
    found = json.loads(done.stdout)
    after = samples.read_bytes()
    same = json.loads(patient(*flags, "--resume", "--json", env=env).stdout)
    assert samples.read_bytes() == after, "a search that is over plays nothing"
    assert same["searched"] == found["searched"] and same["finalists"] == found["finalists"]


@pytest.mark.slow
@pytest.mark.tiny
def test_files_without_a_profile_are_told_what_to_save(patient: Run, tmp_path: Path) -> None:
    env, model = homes(tmp_path), str(TINY)
    flags = ("tune", "--drafter", model, "--expert", model, "--limit", "2", "--rule", "exact", "-k", "auto", "-n", "4")
    done = patient(*flags, "--raw", env={**env, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    text = done.stdout[done.stdout.index("name: NAME") : done.stdout.index("evidence: /")]
    data = yaml.safe_load(text)
    assert data["expert"] == {"path": model} and data["defaults"] == {
        "rule": "exact",
        "draft_tokens": "auto",
        "threads": 1,
    }
    assert not profile(tmp_path).parent.exists()
    done = patient(*flags, "--raw", "--save-as", "mine", env=env)
    assert done.returncode == 0, done.stderr
    done = patient("run", "The sea", "--raw", "--pair", "mine", "-n", "4", env=env)
    assert done.returncode == 0 and done.stderr.startswith("tuned: --rule exact -k auto")


@pytest.mark.slow
@pytest.mark.tiny
def test_threads_are_tried_unless_they_are_given(script: str, clean: Mapping[str, str], tmp_path: Path) -> None:
    given = {name: value for name, value in clean.items() if name != "SPECCAS_THREADS"}
    env = {**given, **homes(tmp_path), "COLUMNS": "200"}
    flags = ("--limit", "2", "--rule", "exact", "-k", "auto", "-n", "4", "--json")

    def run(*arguments: str) -> Any:
        done = subprocess.run([script, *arguments], capture_output=True, text=True, env=env, timeout=400)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found = run("tune", *flags)
    tries = {int(count): seconds for count, seconds in found["threads_tried"].items()}
    assert found["threads"] in tries and min(tries.values()) > 0
    assert found["manifest"]["threads"] == found["threads"], "the samples are of that number"
    assert yaml.safe_load(saved(tmp_path).read_text())["evidence"]["threads"] == found["threads"]
    assert run("compare", "Hello.", "-n", "4", "--json")["manifest"]["threads"] == found["threads"]
    again = run("tune", *flags)
    assert again["threads_tried"].keys() == found["threads_tried"].keys(), "what it saved itself does not bind it"

    folder, other = tmp_path / "state/speccas/tune/tiny", 1 if found["threads"] > 1 else 2
    curve = json.loads((folder / "curve.json").read_text())
    (folder / "curve.json").write_text(json.dumps({**curve, "threads": {found["threads"]: 1.0, other: 0.1}}))
    for name in ("manifest.json", "samples.jsonl"):
        (folder / name).unlink()
    changed = run("tune", *flags, "--resume")
    assert (changed["threads"], changed["manifest"]["threads"]) == (other, other), "not the default, when it was tried"


@pytest.mark.slow
@pytest.mark.tiny
def test_few_prompts_do_not_replace_what_many_found(patient: Run, tmp_path: Path) -> None:
    env = {**homes(tmp_path), "COLUMNS": "200"}
    flags = ("tune", "--limit", "2", "--rule", "exact", "-k", "auto", "-n", "4")
    assert patient(*flags, env=env).returncode == 0
    path = saved(tmp_path)
    many = path.read_text().replace("prompts: 1\n", "prompts: 24\n").replace("rule: exact", "rule: token:0.3")
    path.write_text(many)
    done = patient(*flags, env=env)
    assert done.returncode == 0 and path.read_text() == many
    assert "nothing saved: 1 prompts can show nothing" in done.stdout and "over 24 on " in done.stdout
    found = json.loads(patient(*flags, "--json", env=env).stdout)
    assert found["profile"] is None and Path(found["evidence"]).parent == tmp_path / "state/speccas/tune/tiny"
    path.write_text(many.replace("threads,", "threads of another machine,"))
    assert patient(*flags, env=env).returncode == 0
    assert yaml.safe_load(path.read_text())["evidence"]["prompts"] == 1, "elsewhere it shows no more"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    few_fast(
        [
            (["--prompts", "none.jsonl"], "cannot read the prompts"),
            (["--rule", "0.3"], "follows no rule"),
            (["--rule", "tokn"], "did you mean"),
            (["--rule", "expert"], "expert is no rule"),
            (["--rule", "token-cascade:0.2"], "token-cascade:0.2 is no rule"),
            (["-k", "2,99"], "99"),
            (["-k", ""], "out of range"),
            (["--max-quality-loss", "much"], "--max-quality-loss 'much' is out of range"),
            (["--max-quality-loss", "100"], "out of range"),
            (["--max-quality-loss", "-1"], "out of range"),
            (["--limit", "1"], "--limit"),
            (["--repeats", "0"], "--repeats"),
            (["--save-as", "../x"], "is no name"),
            (["--save-as", "qwen3-4b"], "another pair 'qwen3-4b' already"),
            (["--pair", "tinny"], "did you mean 'tiny'"),
            (["--drafter", "a.gguf"], "--expert is missing"),
        ],
        1,
    ),
)
def test_wrong_flags_end_before_a_model_is_loaded(
    speccas: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = speccas("tune", *arguments, env=homes(tmp_path))
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert not list(tmp_path.rglob("samples.jsonl"))


@pytest.mark.slow
def test_one_prompt_is_too_few(speccas: Run, tmp_path: Path) -> None:
    prompts = tmp_path / "one.jsonl"
    prompts.write_text('{"prompt": "Hello."}\n')
    done = speccas("tune", "--prompts", str(prompts), env=homes(tmp_path))
    assert done.returncode == 2 and "at least two prompts" in done.stderr


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_tried(speccas: Run, tmp_path: Path) -> None:
    done = speccas("tune", *NARROW, "--limit", "12", "--dry-run", env=homes(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("6 settings: exact -k auto, exact -k 2, token:0.3 -k 2")
    assert "12 prompts, at most" in done.stdout and not list(tmp_path.rglob("*.json*"))


@pytest.mark.slow
@pytest.mark.tiny
def test_doctor_measures_the_curve_and_keeps_it(patient: Run, tmp_path: Path) -> None:
    done = patient("doctor", "--curve", "--json", env=homes(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    curve = report["curve"]
    assert (curve["pair"], curve["threads"], curve["expert"]["quant"]) == ("tiny", 1, "Q4_1")
    assert list(curve["seconds"]) == ["1", "2", "3", "4", "5", "6", "7", "8", "12", "16"]
    assert list(curve["needed"]) == [str(k) for k in range(1, 9)]
    assert all(seconds > 0 for seconds in curve["threads_tried"].values()) and "1" in curve["threads_tried"]
    bad = [each for each in report["wrong"] if "poor batch scaling" in each["what"]]
    assert len(bad) == curve["ceiling"]["bad"] and curve["spread"] >= 1 and all("Q4_1" in each["what"] for each in bad)
    dear = curve["dear"]
    assert (dear is not None) == (curve["relative"]["4"] >= 2 and curve["spread"] <= 1.3)
    assert dear is None or dear["tokens"] == 4
    assert not any(word in each["what"] + each["hint"] for each in bad for word in ("Q4_0", "F16")), (
        "no type is praised"
    )
    disturbed = [each for each in report["wrong"] if "something else is running" in each["what"]]
    file = tmp_path / "cache/speccas/curves.json"
    assert file.exists() != bool(disturbed), "what was disturbed is not kept"
    if not disturbed:
        (kept,) = json.loads(file.read_text()).values()
        assert kept["seen"] == curve["seconds"] and kept["step"] == curve["drafter_step"]
    plain = patient("doctor", "--json", env=homes(tmp_path))
    assert json.loads(plain.stdout)["curve"] is None
    told = patient("doctor", "--curve", "--pair", "tiny", env=homes(tmp_path))
    assert "relative: 2: " in told.stdout and "the most a draft can win: " in told.stdout


def test_doctors_flags_go_with_the_curve(speccas: Run) -> None:
    done = speccas("doctor", "--pair", "tiny")
    assert done.returncode == 2 and "--pair goes with --curve" in done.stderr
