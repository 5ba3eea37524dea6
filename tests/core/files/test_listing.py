"""Which of a repository's files are models: names as people give them, and a hundred made of such parts."""

import random
import re

import pytest

from speccas.core.errors import SpeccasError, UsageError
from speccas.core.files.listing import RemoteFile, check_name, choose
from speccas.core.files.source import Source, parse_source, repository

REPO = "owner/model-GGUF"


def files(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, 1000, "a" * 64) for name in names]


MODELS = [
    "Legal-Assistant-7B-Q4_K_M.gguf",
    "OpenAssistant-SFT-Q4_K_M.gguf",
    "Assistant7B.Q4_K_M.gguf",
    "Foo-MTP-Q4_K_M.gguf",
    "Foo-Q4_K_M-imatrix.gguf",
    "Foo-imatrix-Q4_K_M.gguf",
    "foo.imatrix.Q4_K_M.gguf",
    "Draft-eagle3-lover-Q4_K_M.gguf",
    "mtp/Foo-Q4_K_M.gguf",
    "imatrix/Foo-Q4_K_M.gguf",
    "assistant/Foo-Q4_K_M.gguf",
]
COMPANIONS = [
    "mmproj-Foo-Q4_K_M.gguf",
    "Foo-mmproj-Q4_K_M.gguf",
    "Foo-Q4_K_M-mmproj.gguf",
    "mtp-Foo-Q4_K_M.gguf",
    "MTP/mtp-Foo-Q4_K_M.gguf",
    "eagle3-Foo-Q4_K_M.gguf",
    "dflash-Foo-Q4_K_M.gguf",
    "assistant-Foo-Q4_K_M.gguf",
    "imatrix-Q4_K_M.gguf",
    "imatrix_unsloth.gguf",
    "Foo-imatrix.gguf",
    "Foo.imatrix.gguf",
]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_may_be_called_like_a_companion(name: str) -> None:
    for quant in ("Q4_K_M", ""):
        assert choose(files(name, *COMPANIONS), REPO, quant)[0].path == name


@pytest.mark.parametrize("name", COMPANIONS)
def test_a_companion_is_no_model_unless_it_is_named_in_full(name: str) -> None:
    with pytest.raises(UsageError, match="only what goes with one") as raised:
        choose(files(name), REPO)
    assert "in full" in raised.value.hint and "(0.00 GB)" in raised.value.message
    assert choose(files(name, "Foo-Q4_K_M.gguf"), REPO)[0].path == "Foo-Q4_K_M.gguf"
    for pattern in (name, name.rpartition("/")[2]):
        assert choose(files(name, "Foo-Q4_K_M.gguf"), REPO, pattern=pattern)[0].path == name


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://huggingface.co/Qwen/Qwen3-GGUF", Source(hf="Qwen/Qwen3-GGUF")),
        ("huggingface.co/Qwen/Qwen3-GGUF/", Source(hf="Qwen/Qwen3-GGUF")),
        ("hf.co/Qwen/Qwen3-GGUF:Q8_0", Source(hf="Qwen/Qwen3-GGUF", quant="Q8_0")),
        ("https://huggingface.co/a/b/tree/main", Source(hf="a/b")),
        ("https://huggingface.co/a/b/blob/main/x/m%20q.gguf", Source(hf="a/b", file="x/m q.gguf")),
        ("https://huggingface.co/a/b/resolve/v1/m.gguf?download=true", Source(hf="a/b", file="m.gguf", revision="v1")),
        ("https://example.com/a/b", Source(path="https://example.com/a/b")),
        ("Qwen/Qwen3-GGUF", Source(path="Qwen/Qwen3-GGUF")),
    ],
)
def test_the_address_of_a_page_is_a_source(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Qwen/Qwen3-GGUF", "hf:Qwen/Qwen3-GGUF"), ("Qwen/Qwen3-GGUF:Q8_0", "hf:Qwen/Qwen3-GGUF:Q8_0"),
        ("../x", ""), ("a/..", ""), ("a/b/c", ""), ("./a", ""), ("tiny", ""), ("", ""), ("a b/c", ""),
    ],
)  # fmt: skip
def test_a_repository_without_hf(text: str, name: str) -> None:
    assert repository(text) == name


# --- a hundred of each --------------------------------------------------------------------------------------

WORDS = [
    "Foo",
    "Legal-Assistant",
    "MTP",
    "imatrix",
    "mmproj",
    "eagle3",
    "Q4_K_M",
    "UD-Q8_0",
    "BF16",
    "7B",
    "\u00e9",
    "",
]
QUANTS = ["Q4_K_M", "Q8_0", "UD-Q4_K_XL", "IQ2_M", "F16", "bf16", "MXFP4", ""]
FOLDERS = ["", "", "", "old/", "BF16/", "mtp/", "../", "a//", "CON/"]
ENDINGS = [".gguf", ".gguf", ".GGUF", "-00001-of-00001.gguf", "-00002-of-00003.gguf", ".bin", ".gguf.part"]

PIECES = [
    "hf:", "Qwen", "/", ":", "Q4_K_M", ".gguf", "..", "https://", "huggingface.co", "/resolve/", "main", "%2e%2e",
    "\u00e9", "\0", " ", "-x", "@", "?", "#", "~", "\\", "C:", "\n", "\x1b[2J",
]  # fmt: skip


def made_name(draw: random.Random) -> str:
    parts = [draw.choice(WORDS) for _ in range(draw.randint(1, 3))] + [draw.choice(QUANTS)]
    draw.shuffle(parts)
    return draw.choice(FOLDERS) + draw.choice("-._").join(parts) + draw.choice(ENDINGS)


@pytest.mark.parametrize("seed", range(100))
def test_any_listing_gives_a_model_of_it_or_an_error_of_ours(seed: int) -> None:
    draw = random.Random(seed)
    names = [made_name(draw) for _ in range(draw.randint(1, 6))]
    quant, pattern = draw.choice(QUANTS), draw.choice(["", "", "*", *names])
    try:
        chosen = choose(files(*names), REPO, "" if pattern else quant, pattern)
    except SpeccasError as error:
        assert error.exit_code in (2, 5) and error.message
        chosen = ()
    for file in chosen:
        assert file.path in names and file.path.lower().endswith(".gguf")
        check_name(file.path)
    if chosen and quant and not pattern:
        assert re.search(re.escape(quant), chosen[0].path, re.IGNORECASE)
    whole = names.count(pattern) == 1 and pattern.lower().endswith(".gguf") and "-of-" not in pattern
    if whole and sum(name.rpartition("/")[2] == pattern for name in names if name != pattern) == 0:
        try:
            check_name(pattern)
        except SpeccasError:
            return
        assert [file.path for file in chosen] == [pattern], "what is named in full is taken"


@pytest.mark.parametrize("seed", range(100))
def test_any_text_is_a_source_or_an_error_of_ours(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 7)))
    if draw.random() < 0.5:
        text = f"hf:{text}"
    try:
        source = parse_source(text)
    except SpeccasError as error:
        assert error.exit_code == 2
        return
    assert source.path == text or re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source.hf, re.ASCII)
    assert ".." not in source.hf
