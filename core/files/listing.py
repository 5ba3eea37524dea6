"""Which files of a repository are the model that was asked for, and whether their names may touch a disk.

The rule (llama.cpp's `-hf` takes the first match in alphabetical order, which picks a split copy over the single file
and F16 for BF16): the quant is a whole word of the name; a plain tag before `UD-`; one file before a split one; the
root before a folder; and if two are left, the user is asked.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from ..errors import IntegrityError, UsageError

DEFAULT_QUANTS = ("Q4_K_M", "Q4_0", "Q8_0")  # tried in this order when none is named
HEAD = re.compile(r"(?:mtp|eagle3|dflash|dspark|assistant)-", re.IGNORECASE)
"""How the names of draft heads begin."""
COMPANION = re.compile(rf"(?:mmproj|imatrix)|{HEAD.pattern}|.*(?:^|[-._])mmproj(?:[-._]|$)", re.IGNORECASE)
"""Names of files that go with a model. Legal-Assistant and Foo-MTP are models: only the start of a name tells. An image
projector may be named after its model as well."""
IMPORTANCE = re.compile(r".*[-._]imatrix(?:[-._]\w+)?\.gguf", re.IGNORECASE)
"""Importance matrices are named after their model too, which has its quant in its name."""
SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf", re.IGNORECASE)
QUANT = re.compile(
    r"(?:^|[-._/])((?:UD-)?(?:I?Q\d\w*|BF16|F16|F32|TQ\d_\d|MXFP4\w*|NVFP4))(?=[.-])", re.IGNORECASE | re.ASCII
)
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
MOST_LISTED = 20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository; `sha256` is empty where the listing gives none."""

    path: str
    bytes: int
    sha256: str


def check_name(path: str) -> None:
    """Raises IntegrityError for a name that could leave the folder it is put in, on any system."""
    parts = path.split("/")
    outside = not path or not path.isprintable() or "\\" in path or ":" in path
    odd = any(
        part in ("", ".", "..")
        or len(part.encode("utf-8", "replace")) > 255
        or part[-1] in ". "
        or part.split(".")[0].strip().lower() in RESERVED
        for part in parts
    )
    if outside or odd:
        shown = repr(path if len(path) <= 80 else path[:77] + "...")
        raise IntegrityError(f"the repository offers a file named {shown}: not a name to write to a disk", "")


def choose(files: Iterable[RemoteFile], repo: str, quant: str = "", pattern: str = "") -> tuple[RemoteFile, ...]:
    """The files of one model, the first one to be loaded. Several only where it is split.

    Raises UsageError (nothing fits, or more than one; the hint lists what there is), IntegrityError (an unsafe name, a
    split model with a part missing).
    """
    every = _models(files)
    full = [group for group in every if any(_full(file.path, pattern) for file in group)]
    models = [group for group in every if group in full or not is_companion(group[0].path)]
    if not models and every:
        raise UsageError(
            f"{repo} holds no GGUF model, only what goes with one: {_offer(every)}",
            "name another repository, or one of these files in full",
        )
    if not models:
        raise UsageError(f"{repo} holds no GGUF model", "name a repository with .gguf files")
    wanted = quant or pattern
    if pattern:
        found = full or [group for group in models if any(_named(file.path, pattern) for file in group)]
    elif quant:
        found = [group for group in models if _tagged(group[0].path, quant)]
    else:
        tagged = ([group for group in models if _tagged(group[0].path, tag)] for tag in DEFAULT_QUANTS)
        found = next((each for each in tagged if each), models)
    if not found:
        raise UsageError(f"{repo} has no {wanted}", f"it has {_offer(models)}")
    whole = [group for group in found if len(group) == _parts(group)]
    if not whole:
        group = found[0]
        raise IntegrityError(
            f"{repo} has only {len(group)} of the {_parts(group)} parts of {group[0].path}", "name another quant"
        )
    best = min(map(_rank, whole))
    finest = [group for group in whole if _rank(group) == best]
    if len(finest) > 1:
        raise UsageError(f"{repo}: more than one file fits {wanted or 'here'}", f"name one of {_offer(finest)}")
    for file in finest[0]:
        check_name(file.path)
    return finest[0]


def _models(files: Iterable[RemoteFile]) -> list[tuple[RemoteFile, ...]]:
    """The GGUF files, those of one split model together and in order."""

    def model(file: RemoteFile) -> tuple[str, str]:
        split = SPLIT.fullmatch(file.path)
        return (split["stem"], split["parts"]) if split else (file.path, "")

    ggufs = sorted((file for file in files if file.path.lower().endswith(".gguf")), key=lambda f: (*model(f), f.path))
    return [tuple(group) for _, group in groupby(ggufs, model)]


def _parts(group: Sequence[RemoteFile]) -> int:
    split = SPLIT.fullmatch(group[0].path)
    return int(split["parts"]) if split else 1


def is_companion(path: str) -> bool:
    """Whether a file goes with a model and is none itself: an image projector, a draft head, an importance matrix."""
    name = path.rpartition("/")[2]
    if COMPANION.match(name):
        return True
    return IMPORTANCE.fullmatch(name) is not None and QUANT.search(name) is None


def is_head(path: str) -> bool:
    """Whether a file is a draft head, by its name."""
    name = path.rpartition("/")[2]
    return HEAD.match(name) is not None and name.lower().endswith(".gguf")


def _full(path: str, name: str) -> bool:
    """Whether a file is named in full: it is taken whatever it is."""
    return bool(name) and name in (path, path.rpartition("/")[2])


def _named(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(path.rpartition("/")[2], pattern)


def _tagged(path: str, tag: str) -> bool:
    """Whether the tag is a whole word of the name; `UD-Q4_K_M` is another tag than `Q4_K_M`."""
    plain = "" if tag.lower().startswith("ud-") else r"(?<!ud-)"
    return re.search(rf"(?:^|[-._/]){plain}{re.escape(tag)}(?=[.-])", path, re.IGNORECASE) is not None


def _rank(group: Sequence[RemoteFile]) -> tuple[bool, int]:
    return len(group) > 1, group[0].path.count("/")


def _offer(models: Sequence[Sequence[RemoteFile]]) -> str:
    """What there is, with sizes: the quants where every name has one, else the names."""
    tags = [QUANT.findall(group[0].path) for group in models]
    names = [tag[-1] for tag in tags if tag]
    if len(set(names)) != len(models):
        names = [group[0].path for group in models]
    sizes = (sum(file.bytes for file in group) / 1e9 for group in models)
    offered = [f"{name} ({size:.2f} GB)" for name, size in zip(names, sizes, strict=True)]
    return ", ".join(offered[:MOST_LISTED]) + (" ..." if len(offered) > MOST_LISTED else "")
