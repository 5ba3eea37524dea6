"""What the installed llama.cpp knows, told from its files without loading it."""

import mmap
from functools import cache
from pathlib import Path

from ..errors import CannotPair
from ..headers.gguf import Header
from .processor import package_files

ALWAYS = ("llama", "qwen2", "gemma3")
"""Architectures of every build: where their names are not found, names are not kept as texts."""


def require_known(header: Header, file: Path | str) -> None:
    """Raises CannotPair where the installed llama.cpp cannot know the architecture of a model."""
    name = header.architecture
    if _names(name) or not all(map(_names, ALWAYS)):
        return
    raise CannotPair(
        f"{file}: the llama.cpp that is installed here knows no architecture {name!r}",
        "check the file; if the model is new, a newer llama-cpp-python may know it",
    )


@cache
def _names(architecture: str) -> bool:
    """Whether the library holds this text."""
    for path in package_files("*llama.*"):
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(architecture.encode() + b"\0") >= 0:
                return True
    return False
