"""What a header says of a model's memory: the lists against llama.cpp's own, and the lines for people."""

import ctypes
import itertools

import llama_cpp.llama_cpp as api
import pytest

from speccas.core.headers.check import judge
from speccas.core.headers.gguf import Header
from speccas.core.headers.memory import HYBRID, RECURRENT, SNAPSHOTS, RunningState, costs_of_going_back
from tests.builders.gguf import Value, model_header

IS_RECURRENT, IS_HYBRID, SUPPORTS = (
    "_Z21llm_arch_is_recurrentRK8llm_arch", "_Z18llm_arch_is_hybridRK8llm_arch",
    "_Z29llm_arch_supports_rs_rollbackRK8llm_arch",
)  # fmt: skip


def architectures(symbol: str) -> set[str]:
    """Those of which llama.cpp says this, by a C++ function of its own."""
    try:
        says, name = getattr(api._lib, symbol), api._lib._Z13llm_arch_name8llm_arch
    except AttributeError:
        pytest.skip("this build does not export it")
    says.restype, says.argtypes = ctypes.c_bool, [ctypes.POINTER(ctypes.c_int)]
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.c_int]
    known = itertools.takewhile(lambda i: name(i) not in (None, b"(unknown)"), range(1000))
    return {name(i).decode() for i in known if says(ctypes.byref(ctypes.c_int(i)))}


@pytest.mark.parametrize(
    ("symbol", "ours"),
    [(IS_RECURRENT, RECURRENT), (IS_HYBRID, HYBRID), (SUPPORTS, SNAPSHOTS)],
    ids=["recurrent", "hybrid", "rollback"],
)
def test_the_lists_are_those_of_llama_cpp(symbol: str, ours: frozenset[str]) -> None:
    assert architectures(symbol) == ours


def made(architecture: str, **more: Value) -> Header:
    keys = {f"{architecture}__{key}": value for key, value in more.items()}
    return model_header(
        general__architecture=architecture,
        tokenizer__ggml__model="gpt2",
        tokenizer__ggml__tokens=["a", "b"],
        tokenizer__ggml__merges=["a b"],
        **keys,
    )


SSM: dict[str, Value] = {"ssm__inner_size": 5120, "ssm__state_size": 16, "ssm__conv_kernel": 4}
MAMBA = made("mamba", block_count=64, embedding_length=2560, attention__head_count=0, **SSM)
LFM2 = made(
    "lfm2", block_count=4, embedding_length=2048, attention__head_count=32, attention__head_count_kv=[0, 8, 0, 0],
    shortconv__l_cache=3,
)  # fmt: skip
LLAMA = made("llama", block_count=2, embedding_length=64, attention__head_count=4)
ANY = made("deepseek4", block_count=2, embedding_length=64, attention__head_count=4)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (MAMBA, 4 * 64 * (5120 * 16 + 3 * 5120)),
        (LFM2, 4 * 3 * 2048 * 2),
        (made("rwkv7", block_count=2, embedding_length=64, wkv__head_size=32), 4 * 2 * (64 * 32 + 2 * 64)),
        (ANY, 0),
    ],
)
def test_the_size_of_a_state(header: Header, size: int) -> None:
    state = RunningState.of(header)
    assert state is not None and state.bytes == size
    assert RunningState.of(LLAMA) is None


@pytest.mark.parametrize(
    ("drafter", "expert", "told"),
    [
        (LLAMA, LLAMA, ()),
        (LLAMA, LFM2, ("expert (lfm2) is a hybrid: its memory takes back a draft and nothing older", "(0.1 MB)")),
        (LLAMA, MAMBA, ("expert (mamba) is recurrent: its memory takes nothing back", "(24.9 MB)", "drafts win less")),
        (LFM2, LLAMA, ("drafter (lfm2) is a hybrid: its memory takes nothing back, so a round costs", "(0.1 MB)")),
        (LLAMA, ANY, ("expert (deepseek4) is a hybrid", "copies of its state are kept")),
    ],
)
def test_check_says_in_a_line_what_it_costs(drafter: Header, expert: Header, told: tuple[str, ...]) -> None:
    lines = costs_of_going_back(drafter, expert)
    assert len(lines) == bool(told) and all(each in line for line in lines for each in told)
    assert set(lines) <= set(judge(drafter, expert, (1, 10)).remarks)


def test_check_says_it_of_both() -> None:
    assert len(costs_of_going_back(MAMBA, MAMBA)) == 2
