"""Profiles of pairs: one YAML file each, in the package or in the user's config directory, to a checked `Profile`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError
from ..machine.processor import PROCESSORS
from ..nearest import did_you_mean
from .config import aliases
from .fitted import FittedSource
from .found import find_file
from .known_pairs import profiles as profiles
from .known_pairs import user_profiles as user_profiles
from .source import HERE, INSIDE, REPOSITORY, SHA256, THERE, Source, parse_source
from .workers import addresses

FITTED = ("hf", "quant", "file", "revision", "sha256", "bytes")
"""Keys of a model's file for one processor; `hf` and `revision` are the model's own where they are left out."""
KEPT = ("hf", "revision", "rpc", "rpc_output")
"""Keys of a model that hold for its files for either processor."""
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)  # of a pair that is saved
MAX_BYTES = 64 << 10  # a profile is a page of text; a YAML bomb is not
PROFILE_TYPES = {
    "name": str, "title": str, "licence": str, "gated": bool, "memory_gb": float, "defaults": dict, "tuned": dict,
    "optimized": dict, "untried": bool,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """A drafter and an expert that are meant for each other."""

    name: str
    drafter: Source
    expert: Source
    title: str = ""
    licence: str = ""
    gated: bool = False
    memory_gb: float = 0.0
    defaults: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Any] = field(default_factory=dict)
    optimized: Mapping[str, Any] = field(default_factory=dict)
    """Of files that were made for one machine: of what, for which, and what that lost."""
    untried: bool = False
    """Whether nobody of speccas has run it: its names are those that others wrote down."""
    origin: str = ""
    """The file this was read from."""
    fitted: Mapping[str, FittedSource] = field(default_factory=dict)
    """By role: where a file for a CPU and one for a GPU are named, which is taken."""
    chain: Source | None = None
    """A first drafter, which writes ahead for the drafter: a cascade of three."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Of its models, the expert last."""
        return ("drafter", "expert") if self.chain is None else ("first", "drafter", "expert")

    def source(self, role: str) -> Source:
        """The file that is taken for a role of `roles`."""
        found = {"first": self.chain, "drafter": self.drafter, "expert": self.expert}[role]
        assert found is not None
        return found

    def sources(self, role: str) -> tuple[Source, ...]:
        """Every file that may be this model's: the one that is taken, and where there are two the other; none of a head
        in the expert's file."""
        taken = self.source(role)
        pair = self.fitted.get(role)
        if taken.head or taken.url:
            return ()
        return (taken,) if pair is None else tuple(dict.fromkeys((taken, pair.cpu, pair.gpu)))


def find_profile(name: str, processor: str | None = None) -> Profile:
    """The pair of that name or alias, with the files for this processor ("cpu", "gpu") where it names two, or with
    those that fit here. Raises UsageError with the nearest name."""
    known = profiles()
    others = {} if name in known else aliases()
    pair = others.get(name, name)
    if pair not in known:
        guess = did_you_mean(name, {**known, **others})
        meant = f", which the alias {name!r} means" if pair != name else ""
        raise UsageError(f"there is no pair {pair!r}{meant}", f"{guess}known pairs: {', '.join([*known, *others])}")
    return read_profile(known[pair], processor)


def read_profile(path: Path, processor: str | None = None) -> Profile:
    """One profile, checked; `processor` as in `find_profile`. Raises UsageError that names the file, the line and the
    nearest key."""
    try:
        text = path.read_bytes()
        if len(text) > MAX_BYTES:
            raise UsageError(f"{path} is {len(text)} bytes: too large for a profile", "keep it under 64 KiB")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "see profiles/tiny.yaml") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2024-13-45
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}", "see profiles/tiny.yaml") from None
    except RecursionError:
        raise UsageError(f"{path} is nested too deeply", "see profiles/tiny.yaml") from None
    if not isinstance(data, dict) or not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{path} is not a profile: it holds no keys", "see profiles/tiny.yaml")
    _check_keys(path, node, {each.name for each in fields(Profile)} - {"origin", "fitted"})
    for child in node.value:
        if child[0].value in ("drafter", "expert", "chain"):
            if not isinstance(child[1], yaml.MappingNode):
                raise UsageError(
                    f"{path}: {child[0].value} is not a model source", "give hf:, path: or package:, or head: inside"
                )
            _check_keys(path, child[1], {each.name for each in fields(Source)} | {*PROCESSORS})
            for key, value in child[1].value:
                if key.value in PROCESSORS and isinstance(value, yaml.MappingNode):
                    _check_keys(path, value, set(FITTED))
    missing = [key for key in ("name", "drafter", "expert") if key not in data]
    if missing:
        raise UsageError(f"{path} lacks {', '.join(missing)}", "see profiles/tiny.yaml")
    given = {key: _value(path, key, data[key], kind) for key, kind in PROFILE_TYPES.items() if key in data}
    found = {role: _model(path, role, data[role], processor) for role in ("drafter", "expert")}
    fitted = {role: each for role, each in found.items() if isinstance(each, FittedSource)}
    drafter, expert = (each.source if isinstance(each, FittedSource) else each for each in found.values())
    chain = _source(path, "chain", data["chain"]) if "chain" in data else None
    if chain is not None and drafter.head:
        raise UsageError(f"{path}: a head drafts by itself, so chain has nothing to write for", "leave chain out")
    return Profile(**given, drafter=drafter, expert=expert, chain=chain, origin=str(path), fitted=fitted)


def _model(path: Path, role: str, data: Mapping[str, Any], processor: str | None) -> Source | FittedSource:
    """A model's source, or its two: `cpu` and `gpu` say what of it is another one there."""
    base = {key: value for key, value in data.items() if key not in PROCESSORS}
    if len(base) == len(data):
        return _source(path, role, data)
    if not base.get("hf"):
        raise UsageError(f"{path}: {role}'s cpu and gpu are files of a repository", "give hf: beside them")
    both = []
    for name in PROCESSORS:
        other = _value(path, f"{role}'s {name}", data.get(name, {}), dict)
        kept = base if not other else {key: value for key, value in base.items() if key in KEPT}
        both.append(_source(path, f"{role}'s {name}" if other else role, {**kept, **other}))
    return FittedSource.of(both[0], both[1], processor)


def _source(path: Path, role: str, data: Mapping[str, Any]) -> Source:
    given = {key: _value(path, f"{role}'s {key}", value, int if key == "bytes" else str) for key, value in data.items()}
    source = Source(**given)
    if source.head:
        if role != "drafter" or source != Source(head=INSIDE):
            raise UsageError(f"{path}: {role} is not the head in a model's file", "write drafter: {head: inside}")
        return source
    if source.url or source.api:
        if role != "expert" or not (source.url and source.api) or source != Source(url=source.url, api=source.api):
            raise UsageError(
                f"{path}: {role} is not on a server", "write expert: {url: ..., api: ...}, and no more of it"
            )
        return source
    if sum(map(bool, (source.path, source.package, source.hf))) != 1:
        raise UsageError(f"{path}: {role} needs one of path, package and hf", "see profiles/tiny.yaml")
    if source.hf and (not REPOSITORY.fullmatch(source.hf) or ".." in source.hf):
        raise UsageError(f"{path}: {role}'s hf {source.hf!r} is no repository", "write owner/repo")
    if source.rpc:
        if not role.startswith("expert"):
            raise UsageError(f"{path}: {role} cannot be on workers", "rpc: goes under expert:")
        source = replace(source, rpc=",".join(_workers(path, source.rpc)))
    if source.rpc_output not in ("", HERE, THERE) or (source.rpc_output and not role.startswith("expert")):
        raise UsageError(f"{path}: {role}'s rpc_output is {source.rpc_output!r}", "of an expert it is here or there")
    if source.sha256 and not SHA256.fullmatch(source.sha256):
        raise UsageError(f"{path}: {role}'s sha256 is not 64 hex digits", "leave it out if you do not know it")
    return source


def _workers(path: Path, text: str) -> tuple[str, ...]:
    try:
        return addresses(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from None


def _value(path: Path, key: str, value: Any, kind: type) -> Any:
    """The value as its kind. A list or a table never passes for a text: a few lines of YAML can write a huge one."""
    plain = not isinstance(value, dict | list | tuple | set) and value is not None
    if kind is str and plain:
        return str(value)
    if kind is float and plain and not isinstance(value, bool | str):
        return float(value)
    if type(value) is not kind:
        what = {str: "text", int: "whole number", float: "number", bool: "true or false", dict: "table"}[kind]
        raise UsageError(f"{path}: {key} is no {what}", "see profiles/tiny.yaml")
    return value


def _check_keys(path: Path, node: yaml.MappingNode, known: set[str]) -> None:
    for key, _ in node.value:
        if key.value not in known:
            guess = did_you_mean(str(key.value), known)
            where = f"{path}, line {key.start_mark.line + 1}"
            raise UsageError(f"{where}: unknown key {key.value!r}", f"{guess}known keys: {', '.join(sorted(known))}")


def named(name: str, processor: str | None = None) -> tuple[str, dict[str, Source]]:
    """The models that a name means, by role: a pair's, or one given as a path or as hf:owner/repo[:QUANT].
    `processor` as in `find_profile`.

    Raises UsageError.
    """
    if not is_pair(name):
        source = parse_source(name)
        return source.key if source.hf else name, {"model": source}
    pair = find_profile(name, processor)
    return pair.name, {role: pair.source(role) for role in pair.roles}


def is_pair(name: str) -> bool:
    """Whether what was typed is meant as the name of a pair; else it is a file or a repository, or a file that another
    program keeps here under that name. Raises UsageError where more than one does."""
    if ":" in name or name.lower().endswith(".gguf") or "/" in name or "\\" in name:
        return False
    return name in profiles() or name in aliases() or find_file(name) is None
