"""A trimmed drafter: kept rows are those of the source, its words too, and what `exact` writes is the expert's text."""

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.events import Judged, Token
from speccas.core.errors import CannotPair, IntegrityError, Stopped, UsageError
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.gguf import Header, read_header
from speccas.core.headers.vocabulary import CONTROL, UNUSED, Relation, Tokens, compare
from speccas.core.headers.write import values_of
from speccas.core.optimize.trim import Trimmed, require_trimmable, trim, trimmed_bytes
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.stop import StopFlag
from tests.builders.bpe import LETTERS, random_tokens
from tests.builders.gguf import ARRAY, F32, I32, STRING, U64, Value, build, entry, items, pair, tensor, text
from tests.builders.loaded import answered, asked, llama_model
from tests.builders.models import QWEN_DRAFTER, QWEN_EXPERT, TINY, smollm2
from tests.builders.random_models import random_model

FILLERS = 9
Q4_0, ROW_BYTES = 2, 18  # one block of 32 weights


def written(path: Path, changes: dict[str, Value | None] | None = None, extra: tuple[bytes, int] | None = None) -> Path:
    """A file of random weights: embeddings in Q4_0, an output layer with a bias, a norm; 20 letters, what their merges
    make, two control tokens and some that fill up. `extra`: a further tensor in F32 and its bytes."""
    more = [("<|end|>", CONTROL), ("<|im_end|>", CONTROL), *((f"[PAD{i}]", UNUSED) for i in range(FILLERS))]
    tokens = random_tokens(5, more, merges=300)
    count = len(tokens)
    metadata: dict[str, Value | None] = {
        "general.architecture": "llama",
        "general.name": "made",
        "llama.vocab_size": count,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": list(tokens.texts),
        "tokenizer.ggml.token_type": [tokens.type(token) for token in range(count)],
        "tokenizer.ggml.merges": list(tokens.merges or ()),
        "tokenizer.ggml.eos_token_id": count - FILLERS - 1,
        "tokenizer.ggml.eot_token_id": count - FILLERS - 2,
        "tokenizer.ggml.fim_pad_token_id": count - 1,
        "tokenizer.ggml.suppress_tokens": [count - FILLERS - 2, 30],
        "tokenizer.huggingface.json": "{}",
        **(changes or {}),
    }
    pairs = [entry(key, value) for key, value in metadata.items() if value is not None]
    pairs += [
        pair("tokenizer.ggml.scores", ARRAY, items(F32, count, np.arange(count, dtype="<f4").tobytes())),
        pair("odd.text", STRING, text(b"caf\xc3\xa9 \xff")),
        pair("odd.number", U64, struct.pack("<Q", 2**63 + 1)),
        pair("tokenizer.ggml.mask_token_id", I32, struct.pack("<i", -1)),
    ]
    chance = np.random.default_rng(0)
    sizes: dict[str, tuple[tuple[int, ...], int, int]] = {
        "token_embd.weight": ((32, count), Q4_0, count * ROW_BYTES),
        "output.weight": ((32, count), 1, count * 64),
        "output.bias": ((count,), 0, count * 4),
        "output_norm.weight": ((32,), 0, 128),
    }
    if extra is not None:
        sizes[extra[0].decode()] = ((count,), 0, count * 4)
    infos, data = [], b""
    for name, (shape, kind, size) in sizes.items():
        infos.append(tensor(name, shape, kind, len(data)))
        data += chance.bytes(size)
        data += bytes(-len(data) % 32)
    head = build(pairs, infos)
    path.write_bytes(head + data)
    return path


def weights(path: Path, header: Header, name: str) -> bytes:
    found = next(each for each in header.tensors if each.name == name)
    return path.read_bytes()[found.offset : found.offset + (found.bytes or 0)]


def trimmed(source: Path, target: Path, size: int) -> tuple[Trimmed, Header, Header, list[int]]:
    """What `trim` says, both headers, and the source's ids of the tokens that are left."""
    header = read_header(source)
    before = Tokens.of(header)
    found = trim(source, target, size, np.random.default_rng(1).integers(0, 9, len(before)))
    after = read_header(target)
    ids = {each: token for token, each in enumerate(before.texts)}
    return found, header, after, [ids[each] for each in Tokens.of(after).texts]


def test_kept_rows_and_all_other_tensors_are_those_of_the_source(tmp_path: Path) -> None:
    source, target = written(tmp_path / "a.gguf"), tmp_path / "b.gguf"
    found, before, after, ids = trimmed(source, target, 100)
    assert (found.tokens, len(ids)) == (128, 128) and ids == sorted(ids)
    for name, row in {"token_embd.weight": ROW_BYTES, "output.weight": 64, "output.bias": 4}.items():
        rows = weights(source, before, name)
        assert weights(target, after, name) == b"".join(rows[token * row : (token + 1) * row] for token in ids)
    assert weights(target, after, "output_norm.weight") == weights(source, before, "output_norm.weight")
    assert [(each.name, each.type) for each in after.tensors] == [(each.name, each.type) for each in before.tensors]
    assert found.bytes == target.stat().st_size < found.bytes_before == source.stat().st_size
    assert trimmed_bytes(before, 128) == sum(each.bytes or 0 for each in after.tensors)


def test_words_of_the_header_are_carried_over_bit_by_bit_and_ids_follow_their_tokens(tmp_path: Path) -> None:
    source, target = written(tmp_path / "a.gguf"), tmp_path / "b.gguf"
    _, before, after, ids = trimmed(source, target, 128)
    old, new = values_of(source, before), values_of(target, after)
    assert list(new) == [key for key in old if key != "tokenizer.huggingface.json"]
    changed = {key for key in new if new[key] != old[key]}
    names = ("tokens", "token_type", "merges", "scores", "eos_token_id", "eot_token_id", "fim_pad_token_id")
    assert changed == {"llama.vocab_size", *(f"tokenizer.ggml.{name}" for name in (*names, "suppress_tokens"))}
    assert {key: value[:4] for key, value in new.items()} == {key: old[key][:4] for key in new}, "types stay"
    for key in ("eos", "eot", "fim_pad"):
        now, was = (each.get(f"tokenizer.ggml.{key}_token_id", int, -1) for each in (after, before))
        assert ids[now] == was
    suppressed, scores = (after.metadata[f"tokenizer.ggml.{name}"] for name in ("suppress_tokens", "scores"))
    assert [ids[int(each)] for each in suppressed] == list(before.metadata["tokenizer.ggml.suppress_tokens"])  # type: ignore[arg-type, union-attr]
    assert list(scores) == ids  # type: ignore[arg-type]
    assert after.metadata["llama.vocab_size"] == 128
    mine = Tokens.of(after)
    assert sum(b"[PAD" in each for each in mine.texts) == 1, "the one that the header names"
    assert compare(mine, Tokens.of(before)).relation is Relation.SUBSET


def test_where_fewer_can_be_kept_there_are_fewer_and_still_a_multiple_of_64(tmp_path: Path) -> None:
    source = written(tmp_path / "a.gguf")
    count = len(Tokens.of(read_header(source)))
    size = (count - 1) // 64 * 64
    assert count - FILLERS < size, "so many cannot be kept"
    found, _, _, ids = trimmed(source, tmp_path / "b.gguf", size)
    assert found.tokens == len(ids) == size - 64


@pytest.mark.parametrize(
    ("changes", "extra", "size", "said"),
    [
        ({"tokenizer.ggml.merges": None}, None, 64, "the tokenizer is without merges in the header"),
        ({"tokenizer.ggml.model": "llama"}, None, 64, "the tokenizer is 'llama'"),
        ({"split.count": 2}, None, 64, "is one part of several"),
        ({}, None, 5000, "nothing to trim: .* tokens$"),
        ({}, (b"blk.0.nextn.shared_head_head.weight", 0), 64, "shared_head_head.weight may have weights by token"),
    ],
)
def test_what_cannot_be_trimmed_is_refused_in_one_line(
    changes: dict[str, Value | None], extra: tuple[bytes, int] | None, size: int, said: str, tmp_path: Path
) -> None:
    source = written(tmp_path / "a.gguf", changes, extra)
    counts = [0] * len(Tokens.of(read_header(source)))
    with pytest.raises(UsageError, match=said) as refused:
        trim(source, tmp_path / "b.gguf", size, counts)
    assert "\n" not in refused.value.message + refused.value.hint and str(source) in refused.value.message
    with pytest.raises(UsageError, match=said):  # before anything is made, too
        require_trimmable(read_header(source), size)
    assert [each.name for each in tmp_path.iterdir()] == ["a.gguf"]


def test_a_vocabulary_too_small_to_close_is_refused(tmp_path: Path) -> None:
    counts = [0] * len(Tokens.of(read_header(TINY)))
    with pytest.raises(UsageError, match=r"192 tokens are too few$") as refused:
        trim(TINY, tmp_path / "b.gguf", 192, counts)
    assert "are needed at least" in refused.value.hint and not list(tmp_path.iterdir())


def test_what_is_no_whole_language_model_is_told_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(CannotPair, match="no language model"):
        require_trimmable(read_header(written(tmp_path / "a.gguf", {"general.architecture": "bert"})), 64)
    (tmp_path / "c.gguf").write_bytes(TINY.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match="cut short"):
        trim(tmp_path / "c.gguf", tmp_path / "d.gguf", 4096, [])


def test_stopped_half_way_it_leaves_what_was_there(tmp_path: Path) -> None:
    stop, target = StopFlag(), tmp_path / "b.gguf"
    target.write_bytes(b"old")
    heard: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        heard.append((done, total))
        if done * 2 > total:
            stop.set()

    counts = [0] * len(Tokens.of(read_header(TINY)))
    with pytest.raises(Stopped):
        trim(TINY, target, 4096, counts, stop, tell)
    assert target.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["b.gguf"]
    assert heard == sorted(heard) and heard[-1][0] < heard[-1][1]
    heard.clear()
    stop.clear()
    trim(TINY, target, 4096, counts, None, lambda done, total: heard.append((done, total)))
    assert heard[-1][0] == heard[-1][1] == trimmed_bytes(read_header(target), 4096)


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_llama_cpp_reads_and_writes_the_text_that_was_given(kind: str, tmp_path: Path) -> None:
    """Random text, characters that are no token among them, comes back from the trimmed vocabulary; logits of kept
    tokens are those of the whole model."""
    source = TINY if kind == "tied" else random_model(tmp_path / "a.gguf", "plain")
    _, _, _, ids = trimmed(source, tmp_path / "b.gguf", 1024)
    whole, model = (llama_model(path, context=64) for path in (source, tmp_path / "b.gguf"))
    chance = random.Random(2)
    for _ in range(40):
        words = "".join(
            chance.choice([*LETTERS, *" \n  é日ж😀_.9", " the", "ing"]) for _ in range(chance.randrange(30))
        )
        found = model.weights.tokenize(words, special=False)
        assert b"".join(map(model.weights.piece, found)).decode() == words
    read = model.weights.tokenize("The sea is wide, and", special=False)
    mine = np.array(model.extend(read)[0])
    theirs = np.array(whole.extend([ids[token] for token in read])[0])[ids]
    assert np.allclose(mine, theirs, atol=1e-4)
    for each in (whole, model):
        each.weights.close()


def drafted_by(drafter: Path, expert: Path) -> Pair:
    profile = Profile("trimmed", Source(path=str(drafter)), Source(path=str(expert)))
    return load_pair(profile, LoadOptions(ctx=512, threads=1))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """SmolLM2, drafted for by itself with 16 thousand of its 49 thousand tokens."""
    expert = smollm2()
    if expert is None:
        pytest.skip("the `tiny` extra is not installed")
    target = tmp_path_factory.mktemp("trim") / "drafter.gguf"
    trimmed(expert, target, 16_384)
    with drafted_by(target, expert) as loaded:
        yield loaded


PROMPTS = ("Name three colours of the rainbow.", "Écris une phrase sur la mer 🌊.")
NEAR_TIE = 0.5
"""As in test_greedy.py: llama.cpp rounds a batch differently on experts larger than the tiny one."""


def committed(pair: Pair, prompt: str, arm: str, k: int) -> list[Token]:
    pair.clear()
    events = answered(pair, asked(pair, prompt), arm, 16, k)
    return [token for event in events if isinstance(event, Judged) for token in event.tokens]


@pytest.mark.slow
@pytest.mark.parametrize("prompt", PROMPTS)
def test_exact_writes_the_experts_own_text_at_every_draft_length(small: Pair, prompt: str) -> None:
    own = [token.id for token in committed(small, prompt, "expert", 1)]
    assert len(own) == 16
    for k in range(1 + PROMPTS.index(prompt), 9, 2):
        assert [token.id for token in committed(small, prompt, "exact", k)] == own


@pytest.mark.real
def test_a_trimmed_qwen_writes_the_experts_own_text_up_to_near_ties(tmp_path: Path) -> None:
    if not (QWEN_DRAFTER.is_file() and QWEN_EXPERT.is_file()):
        pytest.skip("no Qwen pair")
    found, _, _, _ = trimmed(QWEN_DRAFTER, tmp_path / "drafter.gguf", 32_768)
    assert (found.tokens_before, found.tokens) == (151_936, 32_768)
    with drafted_by(tmp_path / "drafter.gguf", QWEN_EXPERT) as pair:
        assert pair.vocabulary.relation is Relation.SUBSET
        for prompt in PROMPTS:
            own, exact = committed(pair, prompt, "expert", 1), committed(pair, prompt, "exact", 4)
            parted = [mine for mine, theirs in zip(own, exact, strict=False) if mine.id != theirs.id][:1]
            assert all(mine.gap is not None and mine.gap <= NEAR_TIE for mine in parted)
