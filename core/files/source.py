"""Where a model's file is: a path, an installed Python package, or a repository on a model hub, as typed or as written
in a profile.
"""

import os
import re
from dataclasses import dataclass
from urllib.parse import unquote

from ..errors import UsageError

# owner/name as the hub allows it: no dot or hyphen first, so that it can be neither a flag nor a way out of a folder
REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>[^/]+/[^/:?#]+)"
    r"(?::(?P<quant>[^/?#]+)|/(?:blob|resolve|tree)/(?P<revision>[^/?#]+)(?:/(?P<file>[^?#]+?))?)?/?(?:[?#].*)?"
)
"""The address of a repository, or of a file in it."""
HERE, THERE = "here", "there"
"""Where the output layer of an expert on workers is."""
HEAD, INSIDE = "head", "inside"
"""As a drafter is typed, and where it then is: the head in the expert's own file."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's file is: `path`, or `package` (an installed Python package) with `file`, or `hf` with `quant` or
    `file`; or `head`: a drafter that is the head in the expert's own file; or `url` with `api`: an expert that a server
    of that kind runs. `extra` is the speccas extra that installs the package."""

    path: str = ""
    package: str = ""
    extra: str = ""
    hf: str = ""
    quant: str = ""
    file: str = ""
    revision: str = ""
    sha256: str = ""
    bytes: int = 0
    head: str = ""
    rpc: str = ""
    """Of an expert: HOST:PORT of the workers that its layers go to, with commas between them."""
    rpc_output: str = ""
    """`here`: its output layer stays here, so that logits need not travel; else it goes with the others."""
    url: str = ""
    api: str = ""

    def __str__(self) -> str:
        if self.url:
            return f"{self.api}:{self.url}"
        if self.hf:
            return ":".join(part for part in ("hf", self.hf, self.quant or self.file) if part)
        return HEAD if self.head else self.path or f"{self.package}/{self.file}"

    @property
    def key(self) -> str:
        """The same for every way to ask for the same file of a hub."""
        return f"{self}@{self.revision}" if self.revision else str(self)


def parse_source(text: str) -> Source:
    """A source as typed: a path, hf:owner/repo[:QUANT] (or [:FILE.gguf]), or the address of a repository or of a file
    in one, as a browser shows it. Raises UsageError."""
    page = PAGE.fullmatch(text)
    if page is None and not text.startswith("hf:"):
        return Source(path=text)
    repo, _, rest = text.removeprefix("hf:").partition(":")
    revision = ""
    if page is not None:
        repo, rest, revision = page["repo"], unquote(page["file"] or page["quant"] or ""), page["revision"] or ""
    if not REPOSITORY.fullmatch(repo) or ".." in repo:
        raise UsageError(f"{text!r} names no repository", "write hf:owner/repo or hf:owner/repo:Q4_K_M")
    pinned = "" if revision == "main" else revision
    if rest.lower().endswith(".gguf"):
        return Source(hf=repo, file=rest, revision=pinned)
    return Source(hf=repo, quant=rest, revision=pinned)


def parse_drafter(text: str) -> Source:
    """A drafter as typed: a source, or `head` for the one in the expert's file. Raises UsageError."""
    return Source(head=INSIDE) if text == HEAD else parse_source(text)


def of_hub(text: str) -> str:
    """What was typed where only models of a hub can be meant: with the `hf:` that was left out, unless it is a path
    that is here."""
    return text if os.path.lexists(text.partition(":")[0]) else repository(text) or text


def repository(text: str) -> str:
    """`owner/repo[:QUANT]` with the `hf:` that was left out; "" where the text is no such name."""
    return f"hf:{text}" if REPOSITORY.fullmatch(text.partition(":")[0]) and ".." not in text else ""
