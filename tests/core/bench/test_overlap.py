"""How well a drafter can say what its expert says: figures against the rows themselves, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from speccas.core.bench.overlap import LEAST_MASS, Overlap, measure, require_overlap, spread_over
from speccas.core.bench.suites import Item
from speccas.core.decoding.sampling import distribution
from speccas.core.errors import CannotPair, UsageError
from speccas.core.runtime.pair import Pair
from tests.builders.loaded import asked

GOOD = Overlap(2, 20, 0.9, 0.8, 0.7, 0.0)


@pytest.mark.slow
@pytest.mark.tiny
def test_figures_are_those_of_the_rows(tiny: Pair) -> None:
    items = [Item("1", "chat", "Name three primary colours."), Item("2", "code", "Print hello in Python.")]
    told: list[tuple[int, int]] = []
    found = measure(tiny, items, 5, lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)] and (found.prompts, found.positions) == (2, 10)
    agreed, least = [], []
    for item in items:
        ids = list(asked(tiny, item.prompt).ids)
        for _ in range(5):
            rows = []
            for model, read in (
                (tiny.expert, ids),
                (tiny.second_model.model, [each for token in ids for each in tiny.vocabulary.spell(token)]),
            ):
                model.truncate(0)
                row = distribution(model.extend(read)[0]).logits.astype(np.float64)
                rows.append(np.exp(row - row.max()) / np.exp(row - row.max()).sum())
            shared = tiny.vocabulary.shared
            assert shared is not None and shared.ids is not None
            q = np.zeros(len(tiny.tokens))
            q[shared.ids] = rows[1] if shared.rows is None else rows[1][shared.rows]
            agreed.append(q.argmax() == rows[0].argmax())
            least.append(np.minimum(rows[0], q / q.sum()).sum())
            ids.append(int(rows[0].argmax()))
    assert found.agreement == np.mean(agreed)
    assert found.acceptance == pytest.approx(np.mean(least), abs=1e-4)
    assert (found.mass, found.below_half) == (1.0, 0.0)


@pytest.mark.tiny
def test_prompts_that_do_not_fit_are_left_out(tiny: Pair) -> None:
    long, short = Item("1", "chat", "word " * 5000), Item("2", "chat", "Hello")
    assert measure(tiny, [long, short], 2).prompts == 1
    with pytest.raises(UsageError, match="no built-in prompt"):
        measure(tiny, [long], 2)


def test_too_little_shared_probability_is_refused() -> None:
    require_overlap(replace(GOOD, mass=LEAST_MASS), "small.gguf", "large.gguf")
    with pytest.raises(CannotPair, match=r"only 19% of the probability of small\.gguf") as refused:
        require_overlap(replace(GOOD, mass=0.19), "small.gguf", "large.gguf")
    assert refused.value.exit_code == 7 and "20%" in refused.value.hint


def test_the_verdict_follows_the_figures() -> None:
    words = [replace(GOOD, agreement=share).verdict for share in (0.7, 0.4, 0.39)]
    assert [word.split()[1] for word in words] == ["good", "drafter", "poor"]
    assert "hardly" in replace(GOOD, mass=0.1).verdict


def test_prompts_are_taken_from_every_group_in_turn() -> None:
    items = [Item(f"{group}{i}", group, "") for group in "abc" for i in range(3)]
    assert [item.id for item in spread_over(items, 5)] == ["a0", "b0", "c0", "a1", "b1"]
