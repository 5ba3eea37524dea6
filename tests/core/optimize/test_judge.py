"""Which files are chosen, from figures as they were measured on two cores (the pair Qwen2.5-Coder 0.5B and 1.5B)."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from speccas.core.calibration.calibrate import Curve
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.optimize.confirm import confirmed
from speccas.core.optimize.judge import JudgedFiles, best, most_possible, predict
from speccas.core.optimize.quality import Quality

Q4_K_M = {1: 25, 2: 46, 3: 60, 4: 73, 5: 91, 6: 105, 8: 122, 12: 152, 16: 143}
Q4_0 = {1: 22, 2: 37, 3: 53, 4: 35, 5: 53, 6: 68, 8: 65, 12: 94, 16: 95}
GPU = {1: 10, 2: 10.1, 4: 10.3, 8: 10.8, 16: 12}
FILES = {"drafter": Path("d.gguf"), "expert": Path("e.gguf")}


def costs(seen: Mapping[int, float], step: float) -> LatencyModel:
    return LatencyModel({n: ms / 1e3 for n, ms in seen.items()}, step / 1e3)


def files(name: str, seen: Mapping[int, float], step: float, loss: float = 0.0, acceptance: float = 0.9) -> JudgedFiles:
    own, source = Curve(costs(seen, step), 1.1), Curve(costs(Q4_K_M, 11), 1.1)
    lost = Quality(2700, loss, 0.92, 1.6, 1.6 + loss)
    return JudgedFiles(name, FILES, own, source, acceptance, lost)


def test_a_prediction_is_the_formula_at_the_best_length() -> None:
    found = predict(costs(Q4_0, 8.4), 0.93)
    assert found.k == 3
    assert found.times == pytest.approx((1 + 0.93 + 0.93**2 + 0.93**3) * 22 / (3 * 8.4 + 35))
    assert predict(costs(Q4_K_M, 11), 0.93).k == 0, "a call of four costs three tokens: nothing pays"
    assert predict(costs(Q4_0, 8.4), 0.3).times == 1.0


def test_the_fastest_within_the_limit_is_chosen() -> None:
    as_is = files("as they are", Q4_K_M, 11)
    fast, slow = files("Q4_0", Q4_0, 8.4, 0.02), files("Q4_K", {**Q4_0, 4: 63}, 8.4, 0.01)
    assert best(as_is, [fast, slow], 0.03) is fast
    assert best(as_is, [fast, slow], 0.015) is slow, "the loss of the other is over the limit"
    assert best(as_is, [fast, slow], 0.005) is None
    assert best(as_is, [files("the same", Q4_K_M, 11)], 0.03) is None, "no faster is no reason to write anything"
    assert fast.one == pytest.approx(25 / 22) and fast.step == pytest.approx(8.4 / 22)


def test_a_flat_curve_has_nothing_to_win() -> None:
    """A GPU: calls of several tokens cost as one does, and fewer bits are the only gain left."""
    assert most_possible(costs(GPU, 2), 0.8, 0.98) < 1.05
    assert most_possible(costs(Q4_K_M, 11), 0.9, 0.93) > 1.3


def test_a_proof_pairs_by_prompt() -> None:
    prompts = [f"p{i}" for i in range(8)]
    slow = {each: 40.0 - i for i, each in enumerate(prompts)}
    speeds = {
        "source expert": slow,
        "source exact": {each: 0.9 * speed for each, speed in slow.items()},
        "new expert": {each: 1.1 * speed for each, speed in slow.items()},
        "new exact": {each: 1.32 * speed for each, speed in slow.items()},
    }
    found = confirmed(speeds, 64)
    assert found.times.value == pytest.approx(1.32) and found.own_times.value == pytest.approx(1.2)
    assert found.gain.value == pytest.approx(1.32), "against the better of the source's two arms"
    assert found.shown and found.prompts == 8
    mixed = {each: (0.9 if i % 2 else 1.2) * speed for i, (each, speed) in enumerate(slow.items())}
    assert confirmed({**speeds, "new exact": mixed}, 64).shown, "its expert alone is faster by a tenth"
    assert not confirmed({**speeds, "new expert": slow, "new exact": mixed}, 64).shown, "its interval reaches below 1"
    worse = {each: 0.9 * speed for each, speed in slow.items()}
    assert not confirmed({**speeds, "new exact": worse}, 64).shown, "the pair is what people will use"


def test_a_lucky_prompt_of_either_old_arm_is_not_held_against_the_new_files() -> None:
    """Both old arms are as fast as one another, each a fifth faster at every second prompt, by chance."""
    prompts = [f"p{i}" for i in range(8)]
    even = {each: 12.0 if i % 2 else 10.0 for i, each in enumerate(prompts)}
    odd = {each: 10.0 if i % 2 else 12.0 for i, each in enumerate(prompts)}
    new = dict.fromkeys(prompts, 12.1)
    found = confirmed({"source expert": even, "source exact": odd, "new expert": new, "new exact": new}, 64)
    assert found.gain.value == pytest.approx(12.1 / 120**0.5)
    assert found.shown and found.settled


def test_more_prompts_are_asked_only_where_nothing_is_shown() -> None:
    prompts = [f"p{i}" for i in range(8)]
    source = dict.fromkeys(prompts, 10.0)
    for ratios, settled in (([0.9] * 8, True), ([1.1] * 8, True), ([0.9, 1.1] * 4, False)):
        new = {each: 10 * ratio for each, ratio in zip(prompts, ratios, strict=True)}
        speeds = {"source expert": source, "source exact": source, "new expert": source, "new exact": new}
        assert confirmed(speeds, 64).settled is settled
