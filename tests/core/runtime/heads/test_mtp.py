"""MTP heads over llama.cpp's graph, and an assistant over the expert's cache: which state meets which token."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.model import Rows
from speccas.core.decoding.sampling import Floats
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.heads import normed, tables_of
from tests.builders.mtp import CHAIN, LAYER, MTP, assistant, assisted
from tests.builders.random_models import WIDTH, Random, Tensors, random_model

TOKENS = [5, 900, 17, 4000, 17, 250, 3, 77, 1200, 9]
ADDED = ("attn_output", "ffn_down", "ffn_down_exps", "ffn_down_shexp")
"""What a layer adds to what it is given."""


def still(kind: str, token: float, state: float) -> Callable[[Random], Tensors]:
    """A head whose layer adds nothing: it writes what its token's embedding says, or its state; of several all but the
    first the other."""

    def made(r: Random) -> Tensors:
        found = MTP[kind][0](r)
        for name, (shape, values) in found.items():
            if name.split(".")[2] in ADDED:
                found[name] = shape, np.zeros_like(values)
        for b in range(LAYER, LAYER + CHAIN if kind == "chained" else LAYER + 1):
            shares = (token, state) if b == LAYER else (state, token)
            both = np.hstack([share * np.eye(WIDTH) for share in shares]).astype(np.float32)
            found[f"blk.{b}.nextn.eh_proj.weight"] = (2 * WIDTH, WIDTH), both
        return found

    return made


def loaded(drafter: Source, expert: Path) -> Pair:
    return load_pair(Profile("x", drafter, Source(path=str(expert))), LoadOptions(ctx=256, threads=1))


def inside(folder: Path, kind: str, token: float, state: float) -> Pair:
    file = random_model(folder / "expert.gguf", kind, head=still(kind, token, state), changes=MTP[kind][1])
    return loaded(Source(head="inside"), file)


def read(pair: Pair) -> tuple[Floats, Floats]:
    """The expert's rows and states behind each of TOKENS."""
    pair.expert.truncate(0)
    rows = dense(pair.expert.extend(TOKENS, rows=len(TOKENS)))
    assert pair.expert.states is not None
    return rows, pair.expert.states.copy()


def dense(rows: Rows) -> Floats:
    assert isinstance(rows, np.ndarray)
    return np.array(rows)


@pytest.mark.parametrize("kind", MTP)
def test_a_state_is_that_behind_the_expert_s_last_layer(kind: str, tmp_path: Path) -> None:
    """A head that only hands its state on writes what the expert wrote behind the token before, whatever came next;
    drafting on, the same again."""
    with inside(tmp_path, kind, 0.0, 1.0) as pair:
        assert pair.head is not None
        rows, states = read(pair)
        model = pair.head.model
        for pairs in (3, 4, 7):
            found = dense(model.extend(TOKENS[len(model) + 1 : pairs + 1], states[len(model) : pairs]))
            np.testing.assert_allclose(found[0], rows[pairs - 1], atol=0.05)
        found = dense(model.extend([TOKENS[8]], None))
        handed = rows[6] if kind != "chained" else token_says(pair, TOKENS[8])
        np.testing.assert_allclose(found[0], handed, atol=0.1)
        model.truncate(2)
        found = dense(model.extend(TOKENS[3:4], states[2:3]))
        np.testing.assert_allclose(found[0], rows[2], atol=0.05)
        assert len(model) == 3


def test_each_layer_reads_all_pairs(tmp_path: Path) -> None:
    """The first hands the state on; so what the second says can differ by what itself has read before."""

    def head(r: Random) -> Tensors:
        first, own = f"blk.{LAYER}.", MTP["chained"][0](r)
        return own | {name: each for name, each in still("chained", 0.0, 1.0)(r).items() if name.startswith(first)}

    file = random_model(tmp_path / "expert.gguf", "chained", head=head, changes=MTP["chained"][1])
    with loaded(Source(head="inside"), file) as pair:
        assert pair.head is not None
        _, states = read(pair)
        said: list[Floats] = []
        for text in (TOKENS[1:6], [*TOKENS[7:10], *TOKENS[4:6]]):
            pair.head.model.truncate(0)
            pair.head.model.extend(text, states[:5])
            said.append(dense(pair.head.model.extend([77], None)))
        assert np.abs(said[0] - said[1]).max() > 0.1


@pytest.mark.parametrize("kind", MTP)
def test_its_token_is_the_one_that_came_next(kind: str, tmp_path: Path) -> None:
    with inside(tmp_path, kind, 1.0, 0.0) as pair:
        assert pair.head is not None
        _, states = read(pair)
        found = dense(pair.head.model.extend(TOKENS[1:6], states[:5]))
        np.testing.assert_allclose(found[0], token_says(pair, TOKENS[5]), atol=0.1)
        if kind == "chained":
            handed = dense(pair.head.model.extend(TOKENS[6:7], None))
            np.testing.assert_allclose(handed, found, atol=0.1)


@pytest.mark.parametrize("kind", MTP)
def test_it_goes_on_from_its_own_state_of_the_token_before(kind: str, tmp_path: Path) -> None:
    """A head that mixes token and state, held against the same sums in numpy. Cut back, it does the same again."""
    with inside(tmp_path, kind, 1.0, 0.5) as pair:
        assert pair.head is not None
        _, states = read(pair)
        model, tables = pair.head.model, tables_of(pair.files["expert"].path)
        rows, own = [dense(model.extend(TOKENS[1:6], states[:5]))], states[4]
        for i, token in enumerate((TOKENS[5], 77, 900)):
            shares = (0.5, 1.0) if kind == "chained" and i else (1.0, 0.5)
            if i:
                rows.append(dense(model.extend([token], None)))
            embedded = normed(tables["token_embd.weight"][token].astype(np.float64))
            own = np.asarray(shares[0] * embedded + shares[1] * normed(own.astype(np.float64)), dtype=np.float32)
            np.testing.assert_allclose(rows[i][0], tables["output.weight"] @ normed(own.astype(np.float64)), atol=0.1)
        model.truncate(5)
        np.testing.assert_array_equal(dense(model.extend([77], None)), rows[1])
        assert len(model) == 6


def token_says(pair: Pair, token: int) -> Floats:
    """What a model whose layers add nothing writes behind a token."""
    tables = tables_of(pair.files["expert"].path)
    said = tables["output.weight"] @ normed(tables["token_embd.weight"][token].astype(np.float64))
    return np.asarray(said, dtype=np.float32)


def test_a_head_in_the_expert_s_file_is_loaded_once(tmp_path: Path) -> None:
    with inside(tmp_path, "mixture", 1.0, 0.0) as pair:
        assert pair.weights["drafter"] is pair.weights["expert"]


def test_a_long_text_is_read_in_pieces(tmp_path: Path) -> None:
    """Of more pairs than a call reads, the row is that of the last."""
    with inside(tmp_path, "mixture", 0.0, 1.0) as pair:
        assert pair.head is not None
        text = [(31 * i) % 5000 for i in range(100)]
        row = dense(pair.expert.extend(text))[0]
        assert pair.expert.states is not None
        found = dense(pair.head.model.extend([*text[1:], 7], pair.expert.states))
        np.testing.assert_allclose(found[0], row, atol=0.05)
        assert len(pair.head.model) == 100


@pytest.fixture
def sharing(tmp_path: Path) -> Iterator[Pair]:
    expert = assisted(tmp_path / "expert.gguf")
    with loaded(Source(path=str(assistant(tmp_path / "head.gguf", expert))), expert) as pair:
        yield pair


def test_an_assistant_reads_the_expert_s_cache_and_changes_nothing_in_it(sharing: Pair) -> None:
    """Of one token and one state it says something else behind another text; and its own state leads it on."""
    assert sharing.head is not None
    model, expert = sharing.head.model, sharing.expert
    expert.extend(TOKENS[:-1], rows=0)
    assert expert.states is not None
    state = expert.states[-1:].copy()

    def said() -> tuple[Floats, Floats]:
        model.truncate(0)
        first = dense(model.extend(TOKENS[-1:], state))
        return first, dense(model.extend([77], None))

    first, second = said()
    again = said()
    np.testing.assert_array_equal(first, again[0])
    np.testing.assert_array_equal(second, again[1])
    assert np.abs(first - second).max() > 0.5 and len(model) == 2
    model.truncate(0)
    model.extend([900], state)
    assert np.abs(dense(model.extend([77], None)) - second).max() > 0.1, "its own state is of the token before"
    row = dense(expert.extend(TOKENS[-1:]))[0]
    expert.truncate(0)
    np.testing.assert_allclose(dense(expert.extend(TOKENS))[0], row, atol=0.02)
    expert.truncate(0)
    expert.extend([TOKENS[2], *TOKENS[1:2], TOKENS[0], *TOKENS[3:-1]], rows=0)
    assert np.abs(said()[0] - first).max() > 0.05, "another text before it"
