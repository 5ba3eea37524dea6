"""Draft heads by their headers: what kind one is, which expert it fits, the head in an expert's file, what it costs."""

from pathlib import Path

import pytest

from speccas.core.errors import CannotPair
from speccas.core.files.source import INSIDE, Source
from speccas.core.headers.architecture import AttentionShape, require_language_model
from speccas.core.headers.check import HEAD, REFUSED, judge
from speccas.core.headers.head_kind import HeadKind, inside, inside_bytes, kind_of
from speccas.core.headers.heads import HeadFacts, head_step_bytes, require_fits, require_inside, require_model
from speccas.core.headers.memory import RunningState
from speccas.core.inventory.check import check_files
from speccas.core.inventory.details import details
from speccas.core.machine.fit import Footprint, need
from tests.builders.gguf import model_header
from tests.builders.head_headers import SIZE, assistant, eagle3, expert, header, mtp, whole, written

KINDS = {
    "eagle3": (eagle3(), HeadKind.EAGLE3),
    "mtp beside its model": (mtp(), HeadKind.MTP),
    "mtp of layers that guess alone": (whole("qwen35", block_count=1, nextn_predict_layers=1), HeadKind.MTP),
    "assistant": (assistant(), HeadKind.ASSISTANT),
    "a model with a head inside": (expert(guessing=1), None),
    "a model": (expert(), None),
    "a kind that does not run": (whole("dflash"), None),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_kind_a_file_is(name: str) -> None:
    data, kind = KINDS[name]
    assert kind_of(header(data)) is kind
    if kind is not None:
        require_model(header(data), "x.gguf")
        with pytest.raises(CannotPair, match="is a head"):
            require_language_model(header(data), "x.gguf")


def test_a_head_that_does_not_run_is_told_as_such() -> None:
    with pytest.raises(CannotPair, match=r"\(dflash\) is a head of a kind that does not run here"):
        require_model(header(whole("dflash")), "x.gguf")


LLAMA, GEMMA = expert("llama"), expert("gemma4", attention__key_length=32)
FITS = {
    "eagle3": (eagle3(), LLAMA),
    "mtp": (mtp(), expert()),
    "mtp beside a model that holds one too": (mtp(), expert(guessing=1)),
    "mtp of three layers in a chain": (mtp("step35", guessing=3), expert("step35")),
    "assistant": (assistant(attention__key_length=32), GEMMA),
}


@pytest.mark.parametrize("name", FITS)
def test_a_head_fits_its_expert(name: str) -> None:
    small, large = map(header, FITS[name])
    require_fits(small, large)
    found = judge(small, large, (1, 10))
    assert found.works and found.verdict == HEAD and found.head is not None and found.head.told in found.reason


MISFITS = {
    "eagle3, foreign states": (eagle3(target_hidden_size=128), LLAMA, "states of 128 numbers, and those of the expert"),
    "eagle3, a layer too far": (eagle3(target_layers=[0, 1, 4]), LLAMA, "the layers 0, 1 and 4, and the expert has 3"),
    "eagle3, behind the last": (eagle3(target_layers=[0, 1, 3]), LLAMA, "does not hand out the one behind its last"),
    "eagle3 of two layers' states": (eagle3(target_layers=[0, 1]), LLAMA, "names 2 layers of the expert, not 3"),
    "eagle3, a deep head": (eagle3(block_count=2), LLAMA, "has 2 layers, not 1"),
    "eagle3, another width": (
        eagle3(embedding_length=128),
        LLAMA,
        "no embeddings and no output layer of its own, and is 128 wide, the expert 64",
    ),
    "eagle3 for qwen2": (eagle3(), expert("qwen2"), "an expert of architecture 'qwen2' hands out none"),
    "eagle3, a tensor short": (eagle3("blk.0.attn_norm_2.weight"), LLAMA, "its file lacks blk.0.attn_norm_2.weight"),
    "eagle3, another vocabulary": (
        eagle3(tokenizer__ggml__tokens=["a"]),
        LLAMA,
        "vocabulary has 1 tokens, and the expert's 4",
    ),
    "mtp, another architecture": (mtp("glm4moe"), expert(), "of architecture 'glm4moe', the expert of 'qwen35'"),
    "mtp, foreign states": (
        mtp(embedding_length=128),
        expert(),
        "states of 128 numbers, and those of the expert have 64",
    ),
    "mtp of a deeper model": (mtp(layers=9), expert(), "for a model of 9 layers, and the expert has 3"),
    "mtp without a graph": (mtp("glm4"), expert("glm4"), "llama.cpp runs no MTP layers of architecture 'glm4'"),
    "mtp of two layers": (
        mtp(guessing=2),
        expert(),
        "it has 2 MTP layers, and of architecture 'qwen35' llama.cpp runs one",
    ),
    "mtp, a tensor short": (mtp(without=".nextn.eh_proj.weight"), expert(), r"lacks *.nextn.eh_proj.weight"),
    "mtp, another vocabulary": (mtp(tokenizer__ggml__tokens=["a"]), expert(), "vocabulary has 1 tokens"),
    "assistant, no Gemma 4": (assistant(), LLAMA, "the cache of a Gemma 4, and the expert is of architecture 'llama'"),
    "assistant, foreign states": (assistant(embedding_length_out=99), GEMMA, "states of 99 numbers"),
    "assistant, foreign keys": (assistant(attention__key_length=8), GEMMA, "keys of 8 numbers in the expert's cache"),
    "assistant, a tensor short": (assistant("nextn.pre_projection.weight"), GEMMA, "lacks nextn.pre_projection.weight"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_head_for_another_expert_is_refused_with_the_reason(name: str) -> None:
    small, large, reason = header(MISFITS[name][0]), header(MISFITS[name][1]), MISFITS[name][2]
    with pytest.raises(CannotPair) as told:
        require_fits(small, large)
    found = judge(small, large, (1, 10))
    assert reason in told.value.message and told.value.exit_code == 7
    assert not found.works and found.verdict == REFUSED and reason in found.reason


# --- the head in a model's file -----------------------------------------------------------------------------


def test_the_head_inside_is_a_head_of_its_layers_alone() -> None:
    model = header(expert(guessing=1, attention__head_count_kv=[2, 0, 2, 4], full_attention_interval=3))
    head = inside(model)
    assert kind_of(head) is HeadKind.MTP and {each.name.split(".")[1] for each in head.tensors} == {"3"}
    assert inside_bytes(model) == len(head.tensors) * SIZE
    require_fits(head, model)
    facts = HeadFacts.of(head)
    assert facts is not None and (facts.layers, facts.width, facts.borrows) == (1, 64, ("embeddings", "output layer"))
    assert AttentionShape.of(model).kv_heads == (0, 0, 2) and AttentionShape.of(head).kv_heads == (4,)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (expert(), "holds no head: it has no layers that guess"),
        (expert("glm4", guessing=1), "llama.cpp runs no MTP layers of architecture 'glm4'"),
        (expert(guessing=2), "it has 2 MTP layers"),
    ],
)
def test_a_file_that_holds_no_head_that_could_draft(model: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CannotPair, match=reason):
        require_inside(header(model))
    file = Source(path=str(written(tmp_path, "m.gguf", model)))
    with pytest.raises(CannotPair, match=reason) as told:
        check_files(Source(head=INSIDE), file, "")
    assert "beside" not in told.value.hint
    beside = written(tmp_path, "MTP/mtp-m.gguf", mtp())
    written(tmp_path, "A-mtp-m.gguf", mtp())
    with pytest.raises(CannotPair) as told:
        check_files(Source(head=INSIDE), file, "")
    assert told.value.hint == f"name the head that lies beside it: {beside}"


def test_what_check_and_show_say_of_the_head_inside(tmp_path: Path) -> None:
    file = written(tmp_path, "m.gguf", expert(guessing=1))
    found = check_files(Source(head=INSIDE), Source(path=str(file)), "")
    assert found.check.verdict == HEAD and found.drafter.bytes == 3 * SIZE
    assert found.drafter.file == "the head in m.gguf" and found.as_json()["head"]["kind"] == "MTP"
    shown = details(str(file), None).models["model"]
    assert shown.head is None and shown.head_inside is not None and shown.layers == 3


def test_show_tells_a_head_and_heads_beside_a_model(tmp_path: Path) -> None:
    head = written(tmp_path, "eagle3-m.gguf", eagle3())
    shown = details(str(head), None).models["model"]
    assert shown.head is not None and shown.head.reads == (0, 1, 2)
    assert (
        shown.head.told == "an EAGLE-3 head of 1 layer, on the states at layers 0, 1 and 2 of an expert that is 64 wide"
    )
    model = written(tmp_path, "m.gguf", LLAMA)
    assert details(str(model), None).models["model"].heads_beside == (str(head),)


# --- what it costs ------------------------------------------------------------------------------------------


def test_a_head_inside_takes_its_cache_and_no_weights() -> None:
    model = header(expert(guessing=1, attention__head_count_kv=4))
    head, beside = (need(Footprint(inside(model), 10**6, 32, 128, inside=each), 256) for each in (True, False))
    assert head.weights == 0 < beside.weights and head.tables < beside.tables
    assert head.cache == beside.cache == 256 * 4 * (16 + 16) * 2
    assert need(Footprint(model, 10**6, 17, 128), 256).cache == 3 * head.cache


def test_a_head_has_no_running_state_whatever_its_model_is() -> None:
    model = header(expert(guessing=1, ssm__inner_size=8, ssm__state_size=4, full_attention_interval=2))
    assert RunningState.of(model) is not None and RunningState.of(inside(model)) is None
    assert need(Footprint(header(assistant()), 1, 1, 1), 256).cache == 0  # it reads its expert's


def test_a_step_reads_the_head_and_an_output_layer() -> None:
    model = header(expert(guessing=1))
    assert head_step_bytes(inside(model), model) == (3 + 1) * SIZE
    assert head_step_bytes(header(mtp()), model) == (3 + 1) * SIZE  # its embeddings are its output layer too
    assert head_step_bytes(header(eagle3()), header(LLAMA)) == (12 + 1) * SIZE
    assert head_step_bytes(header(assistant()), header(GEMMA)) == 7 * SIZE


def test_a_model_with_a_broken_count_of_layers_is_no_bomb() -> None:
    bomb = model_header(
        general__architecture="qwen35", qwen35__block_count=2**32 - 1, qwen35__nextn_predict_layers=2**32 - 1
    )
    assert kind_of(bomb) is HeadKind.MTP and len(AttentionShape.of(bomb).kv_heads) <= 1 << 16
