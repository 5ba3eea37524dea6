"""Fixtures of the recipe's tests: the expert's file and tokenizer, and a drafter cut from it. Knows no torch."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speccas.core.distill.weights import read_weights
from speccas.core.errors import Unavailable
from speccas.core.files.local import locate
from speccas.core.files.profiles import find_profile
from speccas.core.headers.gguf import Header
from speccas.core.headers.kept import Kept, choose
from speccas.core.headers.vocabulary import Tokens

TEXT = b"""Rain is water that falls from the sky. You are a helpful AI assistant named SmolLM, trained by Hugging Face
system user assistant What is rain? Why does it rain? Name three colours: red, green and blue."""


@pytest.fixture(scope="session")
def expert() -> Path:
    """The tiny pair's expert."""
    try:
        return locate(find_profile("tiny").expert)
    except Unavailable as missing:
        pytest.skip(missing.message)


@pytest.fixture(scope="session")
def loaded(expert: Path) -> tuple[Header, Mapping[str, NDArray[np.float32]]]:
    return read_weights(expert)


@pytest.fixture(scope="session")
def tokens(loaded: tuple[Header, Mapping[str, NDArray[np.float32]]]) -> Tokens:
    return Tokens.of(loaded[0])


@pytest.fixture(scope="session")
def kept(tokens: Tokens) -> Kept:
    """A vocabulary of 600: the words of TEXT, and tokens that are seldom used."""
    counts = np.zeros(len(tokens), np.int64)
    for word in TEXT.replace(b"\n", b" ").split(b" "):
        counts[tokens.spell(b" " + word)] += 5
        counts[tokens.spell(word)] += 5
    counts[5000:5200] += 1
    return choose(tokens, counts, 600)


def compared(drafter: Path, expert: Path, prompt: str) -> dict[str, dict[str, Any]]:
    """The arms of `speccas compare --json` at temperature 0 by name, and the vocabulary as the manifest gives it."""
    command = ["compare", prompt, "--drafter", str(drafter), "--expert", str(expert), "--rule", "exact", "-k", "4"]
    start = "from speccas.cli.start import main; main()"
    options = ["-n", "24", "--temperature", "0", "--threads", "1", "--json"]
    done = subprocess.run([sys.executable, "-c", start, *command, *options], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["manifest"]["vocabulary"] == "subset"
    return {arm["name"]: arm for arm in document["arms"]}
