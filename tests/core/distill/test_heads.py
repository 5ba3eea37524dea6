"""A head while it is trained: held against llama.cpp's graph of the file that is written, and against differences."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speccas.core.distill.data import DataSettings
from speccas.core.distill.export import Types
from speccas.core.distill.head_export import commonest
from speccas.core.distill.head_lessons import HeadLessons
from speccas.core.distill.recipe import Recipe, distill
from speccas.core.distill.weights import read_weights
from speccas.core.errors import UsageError
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.gguf import read_header
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import load_pair
from tests.builders.random_models import random_model

TOKENS = [5, 900, 17, 4000, 17, 250, 3, 77, 1200, 9]
BEGUN = 5  # pairs that are read with the expert's states; those behind are drafted
STATES = (0, 1, 1)
KEPT = range(0, 14336, 7)


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[distill]'")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers."""
    return random_model(tmp_path_factory.mktemp("expert") / "expert.gguf", "plain")


def some(rows: int, n: int, tokens: int, width: int) -> HeadLessons:
    """Lessons with random states: bfloat16 of about one."""
    g = np.random.default_rng(1)

    def kept(*sizes: int) -> Any:
        return (g.normal(0, 1, sizes).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)

    ids, follows = g.integers(0, tokens, (2, rows, n))
    worth = np.ones((rows, n), np.float32)
    return HeadLessons(ids, kept(rows, n, 3 * width), kept(rows, n, width), follows, worth, worth == 1)


def stirred(weights: dict[str, Any], torch: Any) -> dict[str, Any]:
    """Weights of which none is what it began as, so that each matters."""
    random = torch.Generator().manual_seed(3)
    return {name: w + 0.3 * w.std() * torch.randn(w.shape, generator=random) for name, w in weights.items()}


@pytest.mark.slow
def test_it_drafts_in_training_what_its_file_drafts_in_llama_cpp(torch: Any, plain: Path, tmp_path: Path) -> None:
    """The first token of a draft, and the next ones by its own states: the same logits."""
    from speccas.core.distill.head_export import write_head
    from speccas.core.distill.head_network import draft
    from speccas.core.distill.head_start import first_head
    from speccas.core.distill.network import NetworkShape, from_network, norm, rope

    header, arrays = read_weights(plain)
    shape = NetworkShape.of(header)
    weights = stirred(first_head(arrays, shape, KEPT, some(4, 30, 14336, 64)), torch)
    file = tmp_path / "head.gguf"
    write_head(file, plain, from_network(weights, shape.head), KEPT, STATES, Types("F32", "F32"))
    profile = Profile("x", Source(path=str(file)), Source(path=str(plain)))
    with load_pair(profile, LoadOptions(ctx=256, threads=1)) as pair:
        assert pair.head is not None
        pair.expert.extend(TOKENS, rows=0)
        assert pair.expert.states is not None
        states, model = pair.expert.states.copy(), pair.head.model
        found = [np.array(model.extend(TOKENS[1 : BEGUN + 1], states[:BEGUN])[0])]
        found += [np.array(model.extend([token], None)[0]) for token in TOKENS[BEGUN + 1 :]]
    embedded = torch.from_numpy(arrays["token_embd.weight"][TOKENS[1:]])[None]
    read = torch.from_numpy(states[:-1])[None]
    angles = rope(shape, 64, torch.device("cpu"))
    steps = draft(weights, shape, embedded, read, len(found), angles, torch.float32)
    for step, row in enumerate(found):
        state = norm(steps[step][0, BEGUN - 1 + step], weights["output_norm.weight"], shape.epsilon)
        mine = (weights["output.weight"] @ state).numpy()
        np.testing.assert_allclose(row[list(KEPT)], mine, rtol=0.02, atol=0.05 * mine.std())
        assert np.isneginf(np.delete(row, list(KEPT))).all()


def small(torch: Any) -> tuple[Any, HeadLessons]:
    """A head of width 32 with random weights that drafts the last 20 of 30 tokens, and two texts of six pairs."""
    from speccas.core.distill.head_learn import HeadStudent
    from speccas.core.distill.network import NetworkShape, to_network

    g = np.random.default_rng(0)
    shape = NetworkShape(1, 32, 2, 1, 64, 1e4, 1e-5)
    sizes = {"blk.0.attn_q": (32, 64), "blk.0.attn_k": (16, 64), "blk.0.attn_v": (16, 64), "fc": (32, 96)}
    sizes |= {"blk.0.attn_output": (32, 32), "blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32)}
    sizes |= {"blk.0.ffn_down": (32, 64), "output": (20, 32)}
    arrays = {f"{name}.weight": g.normal(0, 0.2, size).astype(np.float32) for name, size in sizes.items()}
    norms = ("blk.0.attn_norm", "blk.0.attn_norm_2", "blk.0.ffn_norm", "output_norm")
    arrays |= {f"{name}.weight": np.ones(32, np.float32) for name in norms}
    arrays["enc.output_norm.weight"] = np.ones(96, np.float32)
    embedding, rows = (torch.from_numpy(g.normal(0, 0.5, (n, 32)).astype(np.float32)) for n in (30, 20))
    head = HeadStudent(to_network(arrays, 16), shape, embedding, rows, range(10, 30), 3, "cpu", torch.float32)

    worth = np.array([[0, 0.25, 1, 1, 0, 1], [1, 1, 0, 1, 1, 0.25]], np.float32)
    lessons = replace(some(2, 6, 30, 32), worth=worth, greedy=worth == 1)
    return head, lessons


def test_a_head_may_keep_its_commonest_tokens_only() -> None:
    """Of equals the lower id; rows of the output go with their tokens, all else stays."""
    counts = np.zeros(16, np.int64)
    counts[[3, 7, 9, 12, 2]] = 5, 1, 8, 1, 99
    weights = {"output.weight": np.arange(8, dtype=np.float32).reshape(4, 2), "fc.weight": np.ones((2, 2), np.float32)}
    for most, ids, rows in ((2, [3, 9], [0, 2]), (3, [3, 7, 9], [0, 1, 2]), (4, [3, 7, 9, 12], [0, 1, 2, 3])):
        kept, cut = commonest([3, 7, 9, 12], weights, counts, most)
        assert kept == ids and cut["output.weight"].tolist() == weights["output.weight"][rows].tolist()
        assert cut["fc.weight"] is weights["fc.weight"]


@pytest.mark.slow
def test_its_gradients_are_those_of_the_divergence_over_all_steps(torch: Any) -> None:
    head, lessons = small(torch)
    found = head.learn(lessons)
    places = lessons.worth * [[1, 1.8, 2.44, 2.44, 2.44, 2.44]]  # steps of 1, 0.8 and 0.64 from the place j on
    assert found.worth == pytest.approx(float(places.sum()), rel=1e-6) and found.loss > 0
    for name in (
        "output.weight",
        "fc.weight",
        "blk.0.attn_k.weight",
        "blk.0.ffn_down.weight",
        "blk.0.attn_norm_2.weight",
    ):
        slope = found.slopes[name]
        place = tuple(int(i) for i in np.unravel_index(int(slope.abs().argmax()), slope.shape))
        weight, step, losses = head.weights[name], 1e-2, []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * step
            losses.append(head.learn(lessons).loss)
            with torch.no_grad():
                weight[place] -= sign * step
        assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(float(slope[place]), rel=0.05), name


@pytest.mark.slow
def test_a_score_counts_what_a_run_would_accept(torch: Any) -> None:
    from speccas.core.distill.head_learn import walked

    greedy = np.array([[False, True, True, True, True, True, True, True, True, False]])
    matches = np.zeros((3, 1, 10), bool)
    matches[0, 0, [0, 1, 6, 9]] = matches[1, 0, [2, 7]] = matches[2, 0, 3] = True
    # from place 1 three are right, and the next is the expert's own; at 5 none; from 6 two
    assert walked(matches, greedy) == (3 + 0 + 2, 3 + 1 + 3)
    matches[0, 0, 5] = True
    assert walked(matches, greedy) == (3 + 1, 3 + 2 + 1 + 1)


@pytest.mark.slow
def test_a_score_holds_each_step_of_a_draft_against_the_answer(torch: Any) -> None:
    head, lessons = small(torch)
    steps = [(each @ head.weights["output.weight"].T).argmax(-1).numpy() for each in head.drafts(lessons, 4)]
    follows = np.stack([steps[step][:, place] for place, step in enumerate((0, 1, 2, 3, 0, 0))], 1)
    follows[:, 4] = (follows[:, 4] + 1) % 20  # the expert's own token ends a draft of four, whatever it is
    assert (follows != steps[0]).any(), "a first token everywhere would be another text"
    everywhere = replace(lessons, follows=follows + 10, greedy=np.ones((2, 6), bool))
    score = head.score(everywhere)
    assert score.acceptance == 1 and score.positions == 12, "a draft of four, the expert's own token, and one more"
    assert score.agreement == pytest.approx((follows == steps[0]).mean())
    assert head.score(replace(everywhere, follows=follows % 10)).acceptance == 0, "those are not drafted"
    head.steps = 1
    assert head.learn(replace(everywhere, worth=np.ones((2, 6), np.float32))).loss / 12 == pytest.approx(score.loss)
    head.rows = head.weights["output.weight"].detach()
    said = head.drafts(lessons, 1)[0].detach().bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert head.score(replace(everywhere, expert=said)).loss < 1e-3 < score.loss, "none where the expert says the same"


@pytest.mark.slow
@pytest.mark.parametrize(("part", "least"), [("states", 0.8), ("token", 0.58), ("inner", 0.4)])
def test_a_head_begins_with_what_least_squares_find(torch: Any, plain: Path, part: str, least: float) -> None:
    """Where what the expert says next is a linear map of the states, of the token beside them, or of what the last
    layer's feed-forward part makes of the first, the first head says it."""
    from speccas.core.distill.head_learn import HeadStudent
    from speccas.core.distill.head_start import first_head
    from speccas.core.distill.network import NetworkShape

    header, arrays = read_weights(plain)
    shape, size = NetworkShape.of(header), 200
    lessons, kept = some(40, 60, size, shape.width), range(size)
    g = torch.Generator().manual_seed(0)
    arrays["output_norm.weight"] = (0.3 + 2 * torch.rand(shape.width, generator=g)).numpy()

    def mapped(given: Any) -> Any:
        """To as many numbers as a state has, of about one."""
        given = given / given.pow(2).mean(-1, keepdim=True).sqrt()
        return given @ torch.randn(given.shape[-1], shape.width, generator=g) / given.shape[-1] ** 0.5

    wanted = mapped(bfloat16(torch, lessons.states))
    if part == "token":
        wanted = 0.3 * wanted + mapped(torch.from_numpy(arrays["token_embd.weight"][lessons.tokens]))
    if part == "inner":
        gate, up = (torch.from_numpy(arrays[f"blk.1.ffn_{name}.weight"]) for name in ("gate", "up"))
        wanted = wanted + mapped(torch.nn.functional.silu(wanted @ gate.T) * (wanted @ up.T))
    wanted = wanted * torch.from_numpy(arrays["output_norm.weight"])
    best = (wanted @ torch.from_numpy(arrays["output.weight"][:size]).T).argmax(-1).numpy()
    raw = wanted.bfloat16().view(torch.int16).numpy().view(np.uint16)
    lessons = replace(lessons, expert=raw, follows=best)
    rows, embedding = (torch.from_numpy(arrays[f"{name}.weight"][:size]) for name in ("output", "token_embd"))
    fitted = first_head(arrays, shape, kept, lessons)
    shares = []
    for weights in (fitted, stirred(fitted, torch)):
        head = HeadStudent(weights, shape, embedding, rows, kept, 1, "cpu", torch.float32)
        shares.append(head.score(lessons).agreement)
    assert shares[0] > least > shares[1]


def bfloat16(torch: Any, kept: Any) -> Any:
    return torch.from_numpy(kept.view(np.int16)).view(torch.bfloat16).float()


REQUESTS = tuple(f"Say number {n}." for n in range(20))
SMALL = DataSettings(texts=4, length=64, bfloat16=False)


def recipe(expert: Path, folder: Path, kind: str = "head", **changes: Any) -> Recipe:
    made = Recipe(kind, expert, folder / "work", folder / f"{kind}.gguf", REQUESTS, SMALL, 2, 800, 2, batch=2, every=30)
    return replace(made, **changes)


def silent(*_: object) -> None:
    pass


@pytest.mark.slow
def test_training_goes_on_where_it_was(torch: Any, plain: Path, tmp_path: Path) -> None:
    """What was begun with few steps goes on with more; other conversations are another folder's."""
    first = distill(recipe(plain, tmp_path), silent, silent)
    told: list[tuple[str, float]] = []
    said: list[str] = []
    made = distill(recipe(plain, tmp_path, steps=40), said.append, lambda stage, share: told.append((stage, share)))
    assert "goes on at step 2" in said and not any(line.startswith(("fits", "begins")) for line in said)
    assert [row["step"] for row in made.curve] == [2, 30, 40] and first.curve == made.curve[:1]
    assert made.curve[-1]["loss"] < 0.9 * made.curve[0]["loss"]
    assert made.best["held_out"] == min(row["held_out"] for row in made.curve)
    assert ("the head learns", 1.0) in told and "the expert writes conversations" not in dict(told)
    for changes in ({"data": replace(SMALL, length=65)}, {"requests": REQUESTS[:15]}, {"vocabulary": 700}):
        with pytest.raises(UsageError, match="was begun with other settings"):
            distill(recipe(plain, tmp_path, **changes), silent, silent)


@pytest.mark.slow
def test_a_small_model_learns_from_the_same_data(torch: Any, plain: Path, tmp_path: Path) -> None:
    """A folder that a head was begun in serves a model too, and the other way round."""
    head = distill(recipe(plain, tmp_path), silent, silent)
    waves = {path: path.stat().st_mtime_ns for path in (tmp_path / "work/data").glob("wave-*")}
    model = distill(recipe(plain, tmp_path, "model"), silent, silent)
    assert (head.kind, model.kind) == ("head", "model") and len(waves) == 4
    assert waves == {path: path.stat().st_mtime_ns for path in (tmp_path / "work/data").glob("wave-*")}
    assert read_weights(tmp_path / "model.gguf")[0].architecture == "llama"
    assert "20 prompts that were given" in (tmp_path / "model.md").read_text()


@pytest.mark.slow
def test_a_small_model_learns_from_an_output_layer_apart(torch: Any, plain: Path, tmp_path: Path) -> None:
    """From the same data, of an expert without rows there another distribution is learnt."""
    begun = []
    for name in ("whole", "blank"):
        expert = tmp_path / name / plain.name
        expert.parent.mkdir()
        content = bytearray(plain.read_bytes())
        if name == "blank":
            output = next(each for each in read_header(plain).tensors if each.name == "output.weight")
            assert output.bytes is not None
            content[output.offset : output.offset + output.bytes] = bytes(output.bytes)
            shutil.copytree(tmp_path / "whole/work/data", tmp_path / "blank/work/data")
        expert.write_bytes(content)
        said: list[str] = []
        distill(recipe(expert, tmp_path / name, "model", steps=1), said.append, silent)
        begun.append(next(line for line in said if line.startswith("begins")))
    assert begun[0] != begun[1]


@pytest.mark.slow
def test_too_few_prompts_and_no_llama_are_refused(torch: Any, plain: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="9 prompts are too few"):
        distill(recipe(plain, tmp_path, requests=REQUESTS[:9]), silent, silent)
    assert not list(tmp_path.iterdir())
    other = random_model(tmp_path / "other.gguf", "hybrid")
    with pytest.raises(UsageError, match="of architecture 'lfm2'"):
        distill(recipe(other, tmp_path), silent, silent)
    assert not (tmp_path / "work").exists()
