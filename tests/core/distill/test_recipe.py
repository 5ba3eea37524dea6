"""The recipe's three steps from end to end at toy size, and what is said where torch is missing."""

import ast
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speccas.core import distill
from speccas.core.distill.__main__ import main
from speccas.core.distill.data import load_wave, waves
from speccas.core.distill.steps import mean, share
from speccas.core.distill.texts import order
from speccas.core.distill.weights import read_weights
from speccas.core.errors import NativeError
from speccas.core.headers.gguf import read_header
from tests.builders.loaded import llama_model
from tests.builders.models import TINY
from tests.core.distill.conftest import compared

FOLDER = Path(distill.__file__).parent
NEEDS_TORCH = {"network", "learn", "divergence", "generate", "head_network", "head_learn", "head_start"}
WITHOUT = "import sys; sys.modules['torch'] = None; "


def imported(path: Path) -> set[str]:
    """Modules that are imported when `path` is, not only inside a function."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(("." * node.level) + (node.module or ""))
    return found


def test_torch_is_imported_only_where_a_step_runs() -> None:
    for path in FOLDER.glob("*.py"):
        assert ("torch" in imported(path)) == (path.stem in NEEDS_TORCH), path
        if path.stem not in NEEDS_TORCH:
            assert not imported(path) & {f".{name}" for name in NEEDS_TORCH}, path
    core, cli = FOLDER.parent, FOLDER.parent.parent / "cli"
    for path in (*core.rglob("*.py"), *cli.rglob("*.py")):
        if path.parent != FOLDER:
            assert "torch" not in imported(path)
            assert "core.distill" not in path.read_text() or path == cli / "commands/distill.py"


@pytest.mark.parametrize("step", ["data", "train", "export"])
def test_without_torch_a_step_says_how_to_get_it(step: str, tmp_path: Path, expert: Path) -> None:
    work = tmp_path / "work"
    (work / "data").mkdir(parents=True)
    start = WITHOUT + "from speccas.core.distill.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", start, step, "--work", str(work), "--expert", str(expert)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("error: this step needs torch\n  install speccas with its extra distill")


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    shares = [share(step, 300) for step in range(301)]
    assert shares[0] < 0.2 and shares[30] == shares[150] == 1.0 and shares[250] == 0.5 and shares[300] == 0


# What follows runs torch.


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[distill]'")


def test_no_more_threads_than_openmp_gives(torch: Any) -> None:
    """Else parts of a product are never computed: NaN, on processors with instructions for bfloat16."""
    say = "import torch; from speccas.core.distill import network; print(torch.get_num_threads())"
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, env=environment)
    assert done.stdout == "1\n", done.stderr


def test_kernels_of_every_shape_are_not_kept(torch: Any) -> None:
    """Batches differ in shape; what was kept of them took 13 GB after 400 steps. A user's own limits stand."""
    say = "import os; from speccas.core.distill import network; print(os.environ['LRU_CACHE_CAPACITY'])"
    for own, told in ((None, "8\n"), ("64", "64\n")):
        given = {} if own is None else {"LRU_CACHE_CAPACITY": own}
        environment = {name: value for name, value in os.environ.items() if name != "LRU_CACHE_CAPACITY"} | given
        done = subprocess.run([sys.executable, "-c", say], capture_output=True, text=True, env=environment)
        assert done.stdout == told, done.stderr


@pytest.mark.parametrize(("loss", "refused"), [(1.5, False), (float("nan"), True), (float("inf"), True)])
def test_a_loss_that_is_no_number_ends_the_training(torch: Any, loss: float, refused: bool) -> None:
    class Broken:
        def __init__(self) -> None:
            self.weights: dict[str, Any] = {}

        def learn(self, lessons: Any, greedy: float) -> Any:
            raise NotImplementedError

        def score(self, lessons: Any) -> Any:
            return Score(loss, 0.5, 10)

    from speccas.core.distill.learn import Score

    with pytest.raises(NativeError, match="no number") if refused else nullcontext():
        assert mean(Broken(), [None]).loss == loss


@pytest.mark.slow
def test_the_network_is_llama_cpps(torch: Any) -> None:
    """Whole texts, one token each at a time, and llama.cpp: the same distributions."""
    from speccas.core.distill.network import NetworkShape, Writer, from_network, read, rope, to_network

    header, arrays = read_weights(TINY)
    shape = NetworkShape.of(header)
    weights = to_network(arrays, shape.head)
    back = from_network(weights, shape.head)
    assert all(np.array_equal(arrays[name], back[name]) for name in arrays)
    model = llama_model(TINY, context=64)
    ids = model.weights.tokenize("Rain is water that falls from the sky because clouds", special=False)
    rows = np.stack([model.extend([token])[0].copy() for token in ids])
    model.weights.close()
    whole = read(weights, shape, torch.tensor([ids]), rope(shape, 64, torch.device("cpu")), torch.float32)[0]
    writer = Writer(weights, shape, 2, 64, torch.float32)
    one = torch.stack([writer.step(torch.tensor([token, token])) for token in ids])
    assert torch.allclose(one[:, 0], whole, atol=1e-3) and torch.allclose(one[:, 0], one[:, 1], atol=1e-3)
    logits = (whole @ weights["token_embd.weight"].T).numpy()
    centred = (logits - logits.mean(1, keepdims=True)).ravel()
    theirs = (rows - rows.mean(1, keepdims=True)).ravel()
    # llama.cpp rounds what goes into a product to 8 bits; a wrong rotation or head order gives about 0.9 at most
    assert np.corrcoef(centred, theirs)[0, 1] > 0.995


def small(torch: Any) -> tuple[Any, Any]:
    """A drafter of one layer with 20 tokens and random weights, and six lessons for it."""
    from speccas.core.distill.learn import Student
    from speccas.core.distill.lessons import Lessons
    from speccas.core.distill.network import NetworkShape, to_network

    generator = np.random.default_rng(0)
    shape = NetworkShape(1, 32, 2, 1, 64, 1e4, 1e-5)
    sizes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
    sizes |= {"ffn_gate": (64, 32), "ffn_up": (64, 32), "ffn_down": (32, 64)}
    arrays = {f"blk.0.{name}.weight": generator.normal(0, 0.2, size).astype(np.float32) for name, size in sizes.items()}
    arrays |= {f"blk.0.{name}.weight": np.ones(32, np.float32) for name in ("attn_norm", "ffn_norm")}
    arrays |= {"output_norm.weight": np.ones(32, np.float32)}
    arrays |= {"token_embd.weight": generator.normal(0, 0.5, (20, 32)).astype(np.float32)}
    rows = torch.from_numpy(generator.normal(0, 0.5, (20, 32)).astype(np.float32))
    drafter = Student(to_network(arrays, 16), shape, rows, range(20), "cpu", torch.float32)
    states = torch.randn(6, 32).bfloat16().view(torch.int16).numpy().view(np.uint16)
    ids = generator.integers(0, 20, (2, 5))
    at, worth = np.array([0, 1, 3, 5, 8, 9]), np.array([1, 0.25, 1, 1, 0.25, 1], np.float32)
    lessons = Lessons(ids, at, states, worth, np.zeros(6, np.int64), np.ones(6, bool))
    return drafter, lessons


@pytest.mark.slow
def test_gradients_are_those_of_the_divergence(torch: Any) -> None:
    """The hand-written slope of the loss, held against differences of the loss."""
    drafter, lessons = small(torch)
    found = drafter.learn(lessons)
    assert found.worth == 4.5 and found.loss > 0
    for name in ("token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_down.weight", "blk.0.ffn_norm.weight"):
        slope = found.slopes[name]
        place = divmod(int(slope.abs().argmax()), slope.shape[-1]) if slope.dim() == 2 else (int(slope.abs().argmax()),)
        weight, step, losses = drafter.weights[name], 1e-2, []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
            losses.append(drafter.learn(lessons).loss)
            with torch.no_grad():
                weight[place] -= sign * step
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float(slope[place]), rel=0.05), name


@pytest.mark.slow
def test_leaning_to_the_likeliest_token_makes_it_likelier(torch: Any) -> None:
    drafter, lessons = small(torch)
    best = (drafter.expert_states(lessons) @ drafter.rows.T).argmax(-1, keepdim=True)

    def surprise() -> float:
        """Mean negative log probability of the expert's likeliest token."""
        with torch.no_grad():
            logits = drafter.hidden(lessons) @ drafter.weights["token_embd.weight"].T
        return float(-torch.log_softmax(logits, -1).gather(-1, best).mean())

    def after(greedy: float) -> float:
        slopes = drafter.learn(lessons, greedy).slopes
        with torch.no_grad():
            for name, weight in drafter.weights.items():
                weight -= 1e-3 * slopes[name]
        found = surprise()
        with torch.no_grad():
            for name, weight in drafter.weights.items():
                weight += 1e-3 * slopes[name]
        return found

    before = surprise()
    assert after(1.0) < after(0.5) < after(0.0) and after(1.0) < before


@pytest.mark.slow
def test_rounding_in_training_is_that_of_the_file(torch: Any) -> None:
    from speccas.core.distill.learn import through
    from speccas.core.distill.weights import dequantise, quantise

    weights = np.random.default_rng(0).standard_normal((64, 96)).astype(np.float32)
    leaf = torch.from_numpy(weights.copy()).requires_grad_()
    rounded = through(leaf)
    rounded.sum().backward()
    file = dequantise(np.frombuffer(quantise(weights, "Q4_0"), np.uint8), "Q4_0").reshape(64, 96)
    assert np.allclose(rounded.detach().numpy(), file, atol=1e-6) and bool((leaf.grad == 1).all())


def recipe(step: str, work: Path, expert: Path, *more: str) -> int:
    return main([step, "--work", str(work), "--expert", str(expert), *more])


@pytest.fixture(scope="module")
def made(torch: Any, tmp_path_factory: pytest.TempPathFactory, expert: Path) -> Path:
    """A folder in which data and training have run: two waves of 3 texts with 72 tokens, two steps."""
    work = tmp_path_factory.mktemp("recipe")
    assert recipe("data", work, expert, "--waves", "2", "--texts", "3", "--length", "72") == 0
    assert recipe("train", work, expert, *TRAINING, "--steps", "2") == 0
    return work


TRAINING = ("--layers", "0,29", "--vocabulary", "600", "--batch", "2", "--every", "1", "--float32")


@pytest.mark.slow
def test_waves_hold_the_experts_own_conversations(made: Path, torch: Any, expert: Path) -> None:
    from speccas.core.distill.conversations import Part

    assert waves(made / "data") == [0, 1]
    wave = load_wave(made / "data", 1)
    assert wave.ids.shape == wave.parts.shape == (3, 72) and wave.hidden.shape == (3, 72, 576)
    assert len({tuple(row) for row in wave.ids[:, :20].tolist()}) == 1, "the system prompt is that of the template"
    answers = (wave.parts[:, 1:] == Part.ANSWER) & (wave.parts[:, :-1] == Part.ANSWER)
    assert answers.sum() > 20
    rows = torch.from_numpy(read_weights(expert)[1]["token_embd.weight"])
    states = torch.from_numpy(wave.hidden.view(np.int16)).view(torch.bfloat16).float()
    best = (states[:, :-1] @ rows.T).argmax(-1).numpy()
    same = best[answers] == wave.ids[:, 1:][answers]
    assert same.mean() > 0.9, "kept states give the expert's choice again, up to rounding"


@pytest.mark.slow
def test_waves_that_are_there_are_left_and_a_missing_one_is_the_same_again(made: Path, expert: Path) -> None:
    folder = made / "data"
    kept, lost = folder / "wave-00001.npz", folder / "wave-00000.npz"
    before, ids = kept.stat().st_mtime_ns, load_wave(folder, 0).ids
    lost.unlink()
    assert recipe("data", made, expert, "--waves", "2", "--texts", "3", "--length", "72") == 0
    assert kept.stat().st_mtime_ns == before
    assert np.array_equal(load_wave(folder, 0).ids, ids)
    assert recipe("data", made, expert, "--waves", "3", "--texts", "4", "--length", "72") == 2


@pytest.mark.slow
def test_training_goes_on_where_it_was_cut_off(made: Path, torch: Any, expert: Path, tmp_path: Path) -> None:
    """Two steps and two more are four steps in one go."""
    name = ("--name", "whole", "--steps", "4")
    assert recipe("train", made, expert, *TRAINING, *name) == 0
    half = ("--name", "half", "--steps", "4")
    assert recipe("train", made, expert, *TRAINING, *half, "--stop", "2") == 0
    assert recipe("train", made, expert, *TRAINING, *half) == 0
    left, right = (torch.load(made / run / "last.pt", weights_only=True) for run in ("whole", "half"))
    assert left["step"] == right["step"] == 4
    for weight in left["weights"]:
        assert torch.allclose(left["weights"][weight], right["weights"][weight], atol=1e-6), weight
    lines = [json.loads(line) for line in (made / "half" / "curve.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4] and lines[-1]["loss"] < lines[0]["loss"]
    assert recipe("train", made, expert, *TRAINING, *half, "--rate", "1") == 2, "another rate is another run"


@pytest.mark.slow
def test_two_processes_train_one_drafter(made: Path, torch: Any, expert: Path) -> None:
    """Each learns from one of the two texts of a step, and what is kept is the mean of both."""
    start = [sys.executable, "-m", "speccas.core.distill", "train", "--work", str(made), "--expert", str(expert)]
    options = [*TRAINING, "--batch", "1", "--steps", "1"]
    parts = ("0/2", "1/2")
    running = [subprocess.Popen([*start, *options, "--name", "both", "--part", part]) for part in parts]
    assert [process.wait(timeout=300) for process in running] == [0, 0]
    texts = next(order(3, 2, seed=0))
    seeds = [next(seed for seed in range(100) if next(order(3, 1, seed)) == [text]) for text in texts]
    for name, seed in zip(("left", "right"), seeds, strict=True):
        assert recipe("train", made, expert, *options, "--name", name, "--seed", str(seed)) == 0
    both, left, right = (
        torch.load(made / run / "last.pt", weights_only=True)["weights"] for run in ("both", "left", "right")
    )
    for name in both:
        assert torch.allclose(both[name], (left[name] + right[name]) / 2, atol=1e-6), name
    assert not torch.equal(left["blk.0.attn_q.weight"], right["blk.0.attn_q.weight"])


@pytest.mark.slow
def test_the_exported_file_is_a_drafter(made: Path, expert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = made / "drafter.gguf"
    assert recipe("export", made, expert, "--out", str(out)) == 0
    assert "2 layers, 600 tokens" in capsys.readouterr().out
    arms = compared(out, expert, "What is rain?")
    assert arms["exact"]["identical_to_expert"] is True and arms["exact"]["drafted"] > 20


@pytest.mark.slow
def test_a_run_goes_on_from_an_exported_drafter(made: Path, expert: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is added says nothing at first: the score is the same with and without new layers."""
    out = made / "start.gguf"
    assert recipe("export", made, expert, "--out", str(out), "--matrices", "F32", "--embedding", "F32") == 0
    begins = []
    for name, layers in (("same", ""), ("deeper", "28,29")):
        more = ("--name", name, "--start", str(out), "--layers", layers, "--vocabulary", "600", "--float32")
        capsys.readouterr()
        assert recipe("train", made, expert, *more, "--steps", "1", "--batch", "2") == 0
        begins.append(next(line for line in capsys.readouterr().out.splitlines() if line.startswith("begins")))
    assert begins[0] == begins[1]
    assert read_header(out).parameters < 1 << 24


@pytest.mark.slow
def test_a_step_without_the_one_before_says_which_to_run(torch: Any, tmp_path: Path, expert: Path) -> None:
    assert recipe("train", tmp_path, expert) == 2
    assert recipe("export", tmp_path, expert) == 2
