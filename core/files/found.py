"""GGUF files that other programs left on this machine: the hub's cache, LM Studio's, Ollama's and llama.cpp's folders.

Looks at names, sizes and first bytes alone. What is damaged, foreign or may not be read is left out.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .cache import cache_dir
from .listing import SPLIT, is_companion, is_head
from .source import COMMIT, REPOSITORY

MAGIC = b"GGUF"
DEEPEST = 5  # folders below a program's own
MOST = 20_000  # names in a folder of models; beyond that it is none
MANIFEST_BYTES = 1 << 20
MODEL_LAYER = "application/vnd.ollama.image.model"
OLLAMA, LM_STUDIO, LLAMA_CPP, HUB = "Ollama", "LM Studio", "llama.cpp", "hub cache"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One model, or draft head: `name` can be typed wherever a GGUF file can; `bytes` of all parts where it is
    split."""

    name: str
    path: Path
    bytes: int
    program: str

    @property
    def head(self) -> bool:
        """Whether it is a draft head, by its file's name."""
        return is_head(self.path.name)


def found_files() -> tuple[FoundFile, ...]:
    """Every model and every draft head there is, each once, by program and name."""
    looks = (_hub, _lm_studio, _ollama, _llama_cpp)
    by_path: dict[Path, FoundFile] = {}
    for look in looks:
        with contextlib.suppress(OSError, RuntimeError):  # a home directory of nobody
            for each in look():
                by_path.setdefault(each.path.resolve(), each)
    return tuple(sorted(by_path.values(), key=lambda each: (each.program, each.name)))


def find_file(name: str) -> Path | None:
    """The file of that name: as `FoundFile.name`, or a file's own name where only one has it. Raises UsageError where
    more than one does."""
    files = found_files()
    latest = f"{name}:latest" if name.startswith("ollama:") else name
    exact = [each for each in files if each.name in (name, latest)]
    named = exact or [each for each in files if name in own_names(each)]
    if not named:
        return None
    if len(named) > 1:
        raise UsageError(
            f"{name} is more than one file here", f"name one of {', '.join(each.name for each in named[:8])}"
        )
    return named[0].path


def own_names(each: FoundFile) -> set[str]:
    """What a file is called for short, beside the name of the program that keeps it."""
    if each.program == OLLAMA:  # its files are called by their hash
        model = each.name.removeprefix("ollama:")
        return {model, f"ollama:{model.rpartition(':')[0]}", *([model.removesuffix(":latest")])}
    return {each.path.name, each.path.stem}


def _hub() -> Iterator[FoundFile]:
    """What lies in snapshots. The name is that of the source where the branch main has the file, else its path."""
    for repository in _children(cache_dir()):
        owner, _, name = repository.name.removeprefix("models--").partition("--")
        repo = f"{owner}/{name}"
        if not repository.name.startswith("models--") or not REPOSITORY.fullmatch(repo):
            continue
        main = _text(repository / "refs/main")
        snapshots = sorted(_children(repository / "snapshots"), key=lambda each: (each.name != main, each.name))
        for folder in (each for each in snapshots if COMMIT.fullmatch(each.name)):
            for path, size in _models(folder):
                typed = f"hf:{repo}:{path.relative_to(folder).as_posix()}"
                yield FoundFile(typed if folder.name == main else str(path), path, size, HUB)


def _lm_studio() -> Iterator[FoundFile]:
    home = Path.home()
    told = _text(home / ".lmstudio-home-pointer")
    roots = [*([Path(told)] if told else []), home / ".lmstudio", home / ".cache/lm-studio"]
    for root in dict.fromkeys(each / "models" for each in roots):
        for path, size in _models(root):
            yield FoundFile(f"lmstudio:{path.relative_to(root).as_posix()}", path, size, LM_STUDIO)


def _llama_cpp() -> Iterator[FoundFile]:
    caches = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    root = Path(os.environ.get("LLAMA_CACHE") or caches / "llama.cpp")
    for path, size in _models(root):
        yield FoundFile(f"llama.cpp:{path.relative_to(root).as_posix()}", path, size, LLAMA_CPP)


def _ollama() -> Iterator[FoundFile]:
    """Its blobs, by the names of its manifests: manifests/HOST/OWNER/MODEL/TAG."""
    told = os.environ.get("OLLAMA_MODELS")
    roots = [Path(told)] if told else [Path.home() / ".ollama/models", Path("/usr/share/ollama/.ollama/models")]
    for root in roots:
        for path in _walk(root / "manifests"):
            *place, tag = path.relative_to(root / "manifests").parts
            digest = _model_digest(path)
            if len(place) < 2 or digest is None:
                continue
            blob = root / "blobs" / digest.replace(":", "-")
            if (size := _gguf_size(blob)) is not None:
                yield FoundFile(f"ollama:{_ollama_name(place)}:{tag}", blob, size, OLLAMA)


def _ollama_name(place: list[str]) -> str:
    """As Ollama itself shows a model: its own host, and its library, are left out."""
    if place[0] == "registry.ollama.ai":
        place = place[1:]
    return "/".join(place[1:] if place[0] == "library" else place)


def _model_digest(manifest: Path) -> str | None:
    """`sha256:...` of the one model that a manifest names."""
    text = _text(manifest, MANIFEST_BYTES)
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(text)
        layers = data.get("layers") if isinstance(data, Mapping) else None
        found = [each.get("digest") for each in layers or () if _is_model(each)] if isinstance(layers, list) else []
        if len(found) == 1 and isinstance(found[0], str):
            kind, _, digest = found[0].partition(":")
            if kind == "sha256" and len(digest) == 64 and set(digest) <= set("0123456789abcdef"):
                return found[0]
    return None


def _is_model(layer: object) -> bool:
    return isinstance(layer, Mapping) and layer.get("mediaType") == MODEL_LAYER


def _models(root: Path) -> Iterator[tuple[Path, int]]:
    """GGUF files below a folder with their sizes: of a split one the first part, with all parts counted."""
    sizes: dict[Path, int] = {}
    for path in _walk(root):
        if path.suffix.lower() != ".gguf" or (is_companion(path.name) and not is_head(path.name)):
            continue
        if (size := _gguf_size(path)) is not None:
            split = SPLIT.fullmatch(path.name)
            if split:
                path = path.with_name(f"{split['stem']}-{1:05}-of-{split['parts']}.gguf")
            sizes[path] = sizes.get(path, 0) + size
    yield from ((path, size) for path, size in sizes.items() if path.exists())


def _gguf_size(path: Path) -> int | None:
    """Bytes of a file that begins as a GGUF does, else None."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            return path.stat().st_size if file.read(len(MAGIC)) == MAGIC else None
    except OSError:
        return None


def _walk(root: Path) -> Iterator[Path]:
    """The files below a folder, none where there are too many; no folder that is a link is entered."""
    count = 0
    for folder, inner, names in os.walk(root):
        if len(Path(folder).relative_to(root).parts) >= DEEPEST:
            inner.clear()
        inner.sort()
        for name in sorted(names):
            count += 1
            if count > MOST:
                return
            yield Path(folder, name)


def _children(folder: Path) -> Iterable[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()


def _text(path: Path, most: int = 4096) -> str:
    """What a small file says, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8", "replace").strip() if path.is_file() else ""
    except OSError:
        return ""
