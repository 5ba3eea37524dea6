"""The verdict on a pair, from headers alone: real files, files made here, and files that are none."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speccas.core.errors import CannotPair, SpeccasError
from speccas.core.files.inspect import inspect
from speccas.core.files.source import Source
from speccas.core.headers.check import REFUSED, PairCheck, judge
from speccas.core.headers.gguf import Header, parse_header, read_header
from speccas.core.headers.spelling import LETTER
from tests.builders.gguf import Value, model_header
from tests.builders.models import FETCHED, QWEN_DRAFTER, QWEN_EXPERT, TINY

SMOL = FETCHED / "smollm2-135m-instruct-q4_1.gguf"
BYTES = [letter.encode() for _, letter in sorted(LETTER.items())]


def made(tokens: Sequence[bytes], **more: str | int | bool) -> Header:
    """A header of a language model with this vocabulary; `more` are tokenizer keys (and `arch`, `template`)."""
    keys: dict[str, Value] = {
        "general.architecture": more.pop("arch", "llama"),
        "tokenizer.ggml.model": more.pop("model", "gpt2"),
    }
    if "template" in more:
        keys["tokenizer.chat_template"] = more.pop("template")
    keys |= {f"tokenizer.ggml.{key}": value for key, value in more.items()}
    return model_header(**keys, tokenizer__ggml__tokens=tokens, tokenizer__ggml__merges=["w 1"])


def check(drafter: Header, expert: Header) -> PairCheck:
    return judge(drafter, expert, (1, 10))


WORDS = [f"w{i}".encode() for i in range(60)]
OTHERS = [f"other{i}".encode() for i in range(2000)]


@pytest.mark.parametrize(
    ("drafter", "expert", "verdict", "first"),
    [
        (BYTES + WORDS, BYTES + WORDS, "identical", []),
        (BYTES + WORDS, [*BYTES, *WORDS, b"[PAD1]", b"[PAD2]"], "padded", [316, 317]),
        ([*BYTES, *WORDS, b"[PAD1]"], BYTES + WORDS, "padded", [316]),
        (BYTES + WORDS[:5], BYTES + WORDS[5:] + WORDS[:5], "subset", [256, 257, 258, 259, 260]),
        (BYTES + WORDS + OTHERS[:9], WORDS + BYTES, "overlapping", [0, 1, 2, 3, 4]),
        (OTHERS, BYTES + WORDS, REFUSED, [0, 1, 2, 3, 4]),
        (BYTES[100:] + OTHERS[:1000], WORDS + BYTES, REFUSED, [0, 1, 2, 3, 4]),
    ],
)
def test_verdicts(drafter: list[bytes], expert: list[bytes], verdict: str, first: list[int]) -> None:
    found = check(made(drafter), made(expert))
    assert found.verdict == verdict
    assert [token.id for token in found.tokens] == first
    for token in found.tokens:
        assert token.drafter == (drafter[token.id] if token.id < len(drafter) else None)
        assert token.expert == (expert[token.id] if token.id < len(expert) else None)
    assert found.works is (verdict != REFUSED)


def test_what_tells_two_tokenizers_apart() -> None:
    tokens = BYTES + WORDS
    small = made(tokens, pre="qwen2", bos_token_id=3, add_bos_token=True, template="a\nbcd{{ x }}")
    large = made(tokens, pre="llama3", bos_token_id=4, add_bos_token=False, template="a\nbce{{ x }}")
    found = check(small, large)
    assert {each.name for each in found.tokenizer} == {"pre", "add_bos_token", "bos token"}
    bos = next(each for each in found.tokenizer if each.name == "bos token")
    assert bos.drafter.startswith("3 ") and bos.expert.startswith("4 ")
    assert [each.name for each in found.template] == ["template", "template, line 2, column 3"]
    assert found.template[1].drafter == "d{{ x }}" and found.template[1].expert == "e{{ x }}"
    assert check(small, small).tokenizer == () and check(small, small).template == ()


@pytest.mark.parametrize("key", ["arch", "none"])
def test_what_writes_no_text(key: str) -> None:
    model = made(BYTES, arch="bert") if key == "arch" else model_header()
    for pair in ((model, made(BYTES)), (made(BYTES), model)):
        with pytest.raises(CannotPair, match="no language model"):
            check(*pair)


@pytest.mark.slow
@pytest.mark.skipif(not QWEN_EXPERT.is_file() or not SMOL.is_file(), reason="no real files on this machine")
@pytest.mark.parametrize(
    ("drafter", "expert", "verdict"),
    [
        (QWEN_DRAFTER, QWEN_EXPERT, "identical"),
        (QWEN_DRAFTER, QWEN_DRAFTER, "identical"),
        (SMOL, QWEN_EXPERT, "overlapping"),
        (TINY, SMOL, "subset"),
    ],
)
def test_real_files(drafter: Path, expert: Path, verdict: str) -> None:
    small, large = (inspect(Source(path=str(path))) for path in (drafter, expert))
    found = judge(small.header, large.header, (small.bytes, large.bytes))
    assert found.verdict == verdict
    if drafter == SMOL:
        first = found.tokens[0]
        assert (first.id, first.drafter, first.expert) == (0, b"<|endoftext|>", b"!")
        assert {"pre", "tokens", "bos token", "eos token", "merges"} <= {each.name for each in found.tokenizer}
        assert 0.79 < found.share < 0.80 and 13 < found.ratio < 14
        assert any("8,192" in remark for remark in found.remarks)


@pytest.mark.slow
@pytest.mark.skipif(not QWEN_EXPERT.is_file() or not SMOL.is_file(), reason="no real files on this machine")
def test_a_check_stays_below_200_megabytes() -> None:
    program = f"""
from pathlib import Path
from speccas.core.headers.check import judge
from speccas.core.headers.gguf import read_header
print(judge(read_header(Path({str(SMOL)!r})), read_header(Path({str(QWEN_EXPERT)!r})), (1, 1)).verdict)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])"""  # ru_maxrss counts the parent too
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    verdict, peak = found.stdout.split()
    assert verdict == "overlapping" and int(peak) < 200 << 10


HEADER = TINY.read_bytes()[: read_header(TINY).data_offset]


@pytest.mark.slow
@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=5), st.integers(0, len(HEADER))
)
def test_a_damaged_header_ends_in_a_typed_error_or_a_verdict(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(HEADER)
    for at, value in changes:
        data[at] = value
    data = data[: cut if cut % 3 == 0 else len(data)]
    size = TINY.stat().st_size
    try:
        header = parse_header(bytes(data), size, "hurt.gguf")
        assert isinstance(judge(header, read_header(TINY), (1, 1)), PairCheck)
    except SpeccasError as error:
        assert error.message
