"""EAGLE-3 heads over llama.cpp's graph, held against the same sums in numpy; and which files are none for an expert."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.events import Event, Judged, Token
from speccas.core.decoding.model import Rows
from speccas.core.decoding.sampling import Floats
from speccas.core.errors import CannotPair, IntegrityError
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.heads import Eagle, forward, tables_of
from tests.builders.loaded import answered, asked, prefill
from tests.builders.models import smollm2
from tests.builders.random_models import random_model

TOKENS = [5, 900, 17, 4000, 17, 250, 3, 77, 1200, 9]
HALF = 2048  # of a vocabulary of its own


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("expert") / "expert.gguf", "plain")


def loaded(head: Eagle, expert: Path, folder: Path, context: int = 256) -> Pair:
    file = head.write(folder / "head.gguf", expert)
    return load_pair(
        Profile("x", Source(path=str(file)), Source(path=str(expert))), LoadOptions(ctx=context, threads=1)
    )


def dense(rows: Rows) -> Floats:
    assert isinstance(rows, np.ndarray)
    return np.array(rows[0])


KINDS = {
    "borrowing": Eagle(),
    "its own tables": Eagle(),
    "raw residual": Eagle(norm_before_residual=False),
    "3.1": Eagle(norm_before_fc=True),
    "own vocabulary": Eagle(draft_tokens=HALF),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, expert: Path) -> Eagle:
    head, tables = KINDS[request.param], tables_of(expert)
    if request.param == "its own tables":
        g = np.random.default_rng(8)
        near = {name: each + 0.1 * g.standard_normal(each.shape) for name, each in tables.items()}
        head = replace(head, tables={name: each.astype(np.float16).astype(np.float32) for name, each in near.items()})
    if head.draft_tokens:
        head = replace(head, tables={"output.weight": tables["output.weight"][: 2 * HALF : 2]})
    return head


@pytest.fixture
def pair(kind: Eagle, expert: Path, tmp_path: Path) -> Iterator[Pair]:
    with loaded(kind, expert, tmp_path) as pair:
        yield pair


def expert_states(pair: Pair, tokens: list[int]) -> Floats:
    pair.expert.truncate(0)
    pair.expert.extend(tokens, rows=0)
    assert pair.expert.states is not None
    return pair.expert.states


def test_its_rows_are_those_of_the_formulas(kind: Eagle, pair: Pair, expert: Path) -> None:
    """Read in one call, in several, drafted on by its own state, cut back and read on: always the same numbers."""
    assert pair.head is not None
    states, model = expert_states(pair, TOKENS), pair.head.model
    wanted = forward(kind, tables_of(expert), TOKENS[1:], states[:5])

    def same(found: Rows, pairs: int) -> None:
        row = dense(found)
        if kind.draft_tokens:
            assert np.isneginf(np.delete(row, np.arange(0, 2 * HALF, 2))).all(), "no other token is proposed"
            row = row[: 2 * HALF : 2]
        np.testing.assert_allclose(row, wanted[pairs - 1], rtol=0.02, atol=0.05)
        assert len(model) == pairs

    same(model.extend(TOKENS[1:6], states[:5]), 5)
    for pairs in range(6, len(TOKENS)):
        same(model.extend([TOKENS[pairs]], None), pairs)
    model.truncate(2)
    same(model.extend(TOKENS[3:4], states[2:3]), 3)
    same(model.extend(TOKENS[4:6], states[3:5]), 5)
    same(model.extend([TOKENS[6]], None), 6)


def test_the_states_matter(pair: Pair) -> None:
    assert pair.head is not None
    states, model = expert_states(pair, TOKENS), pair.head.model
    row = dense(model.extend(TOKENS[1:6], states[:5]))
    model.truncate(4)
    other = dense(model.extend(TOKENS[5:6], states[3:4]))
    finite = np.isfinite(row)
    assert np.abs(row[finite] - other[finite]).max() > 0.1


def test_a_long_text_is_read_in_pieces(pair: Pair) -> None:
    assert pair.head is not None
    text = [(31 * i) % 5000 for i in range(100)]
    states, model = expert_states(pair, text), pair.head.model
    whole = dense(model.extend(text[1:], states[:-1]))
    model.truncate(0)
    for at in range(0, 99, 7):
        row = dense(model.extend(text[at + 1 : at + 8], states[at : min(at + 7, 99)]))
    finite = np.isfinite(whole)
    np.testing.assert_allclose(row[finite], whole[finite], atol=0.02)


def test_a_head_for_another_expert_is_not_loaded(expert: Path, tmp_path: Path) -> None:
    """Which heads those are: tests/core/headers."""
    with pytest.raises(CannotPair, match=r"head\.gguf cannot read .* states of 128 numbers") as told:
        loaded(Eagle(hidden=128), expert, tmp_path)
    assert told.value.exit_code == 7


def test_an_expert_that_hands_out_no_states_is_refused(tmp_path: Path) -> None:
    """Asked for them, its graph would end the process."""
    windowed = random_model(tmp_path / "x.gguf", "windowed")
    with pytest.raises(CannotPair, match="an expert of architecture 'gemma3' hands out none"):
        loaded(Eagle(), windowed, tmp_path)


def test_a_vocabulary_of_its_own_must_be_of_the_experts_tokens(expert: Path, tmp_path: Path) -> None:
    head = Eagle(draft_tokens=HALF, tables={"output.weight": tables_of(expert)["output.weight"][:HALF]})
    file = head.write(tmp_path / "head.gguf", expert)
    data = file.read_bytes()
    at = data.rindex(np.arange(0, 2 * HALF, 2, dtype="<i8").tobytes())
    file.write_bytes(data[:at] + np.int64(10**6).tobytes() + data[at + 8 :])
    with pytest.raises(IntegrityError, match="d2t does not name tokens of its expert"):
        load_pair(Profile("x", Source(path=str(file)), Source(path=str(expert))), LoadOptions(ctx=256, threads=1))


def test_a_head_is_no_expert_and_no_model_alone(expert: Path, tmp_path: Path) -> None:
    file = Eagle().write(tmp_path / "head.gguf", expert)
    with pytest.raises(CannotPair, match="is a head"):
        load_pair(Profile("x", Source(path=str(expert)), Source(path=str(file))), LoadOptions(ctx=256, threads=1))


@pytest.mark.slow
@pytest.mark.tiny
def test_a_real_expert_writes_its_own_text_whatever_the_head_says(tmp_path: Path) -> None:
    """SmolLM2, whose tables of quantised numbers the head borrows; its states are those of a text read at once."""
    path = smollm2()
    assert path is not None
    head = Eagle(layers=(2, 15, 28), hidden=576, width=576, heads=9)
    with loaded(head, path, tmp_path) as pair:
        prompt = asked(pair, "Name three colours of the sky.")
        alone = [each.id for each in tokens_of(answered(pair, prompt, "expert", 16))]
        found = tokens_of(answered(pair, prompt, "exact", 16, k=3))
        assert [each.id for each in found] == alone
        text = [*prompt.ids, *alone]
        prefill(pair, text)
        used = pair.drafts.next()
        pair.clear()
        prefill(pair, text)
        fresh = pair.drafts.next()
        assert used is not None and fresh is not None
        np.testing.assert_allclose(used.q1.logits, fresh.q1.logits, atol=0.05)


def tokens_of(events: Sequence[Event]) -> list[Token]:
    return [token for event in events if isinstance(event, Judged) for token in event.tokens]
