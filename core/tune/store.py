"""What `speccas tune` found for a pair, in the user's profile of it: read, and written without losing what else stands
there. Knows the profile's YAML; not how anything was measured.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError
from ..files.profiles import Profile, profiles, read_profile, user_profiles
from ..files.source import Source

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.ASCII)
COPIED = "# The shipped profile, with what `speccas tune` found. Delete this file to go back to the shipped one.\n"


@dataclass(frozen=True, slots=True)
class Tuned:
    """The setting that was kept and what speaks for it. `speedup` against the expert alone, with its 95 % interval;
    `quality_loss` a share, `None` for `exact`."""

    date: str
    machine: str
    rule: str
    draft_tokens: int | str
    faster: bool
    """Whether it was shown to be faster than the expert alone."""
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    prompts: int = 0
    quality_loss: float | None = None
    temperature: float = 0.0
    threads: int | None = None
    """That this was measured with; saved beside the rule."""
    file: str = ""
    """Where everything that was measured stands."""

    def as_profile(self) -> dict[str, Any]:
        """The `tuned` table of a profile."""
        given = {key: value for key, value in asdict(self).items() if key not in ("date", "machine")}
        return {"date": self.date, "machine": self.machine, "evidence": given}

    def as_defaults(self) -> dict[str, Any]:
        """What it adds to the `defaults` table."""
        threads = {} if self.threads is None else {"threads": self.threads}
        return {"rule": self.rule, "draft_tokens": self.draft_tokens, **threads}


def tuned_of(pair: Profile) -> Tuned | None:
    """What was found for this pair; None where nothing was, or where somebody wrote something else there."""
    table = pair.tuned
    evidence = table.get("evidence")
    if not isinstance(evidence, Mapping):
        return None
    try:
        found = Tuned(date=str(table["date"]), machine=str(table["machine"]), **evidence)
    except (KeyError, TypeError):
        return None
    numbers = (
        found.speedup,
        found.low,
        found.high,
        found.quality_loss,
        found.temperature,
        found.prompts,
        found.threads,
    )
    sound = all(value is None or isinstance(value, int | float) for value in numbers)
    return found if sound and isinstance(found.rule, str) else None


@dataclass(frozen=True, slots=True)
class Saved:
    """`backup`: the file as it was, where it could not be changed in place and was written anew."""

    path: Path
    backup: Path | None = None


def target(pair: Profile, name: str) -> Path:
    """The file that a setting of this pair is saved in under this name. Raises UsageError where the name is none, or is
    that of a pair of other models."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a pair", "use letters, digits, dots and hyphens")
    known = profiles().get(name)
    if known is not None:
        other = read_profile(known)
        if (other.drafter, other.expert) != (absolute(pair.drafter), absolute(pair.expert)) and (
            other.drafter, other.expert) != (pair.drafter, pair.expert):  # fmt: skip
            raise UsageError(f"there is another pair {name!r} already, in {known}", "give another name: --save-as NAME")
    return user_profiles() / f"{name}.yaml"


def absolute(source: Source) -> Source:
    """The same file from any directory."""
    return Source(path=str(Path(source.path).expanduser().resolve())) if source.path else source


def profile_of(pair: Profile, name: str) -> str:
    """A profile for two models that have none."""

    def given(source: Source) -> dict[str, Any]:
        return {key: value for key, value in asdict(absolute(source)).items() if value}

    return dump({"name": name, "drafter": given(pair.drafter), "expert": given(pair.expert)})


def save(pair: Profile, name: str, tuned: Tuned) -> Saved:
    """Write the setting to the user's profile of this name; what else stands there stays, comments too. Raises
    UsageError."""
    path = target(pair, name)
    known = profiles().get(name)
    try:
        if path.is_file():
            before = path.read_text(encoding="utf-8")
        elif known is not None:
            before = COPIED + known.read_text(encoding="utf-8")
        else:
            before = profile_of(pair, name)
        after = edited(before, tuned)
        path.parent.mkdir(parents=True, exist_ok=True)
        backup = None
        if after is None:
            after = dump(merged(yaml.safe_load(before), tuned))
            if path.is_file():
                backup = path.with_name(path.name + ".bak")
                backup.write_text(before, encoding="utf-8")
        new = path.with_name(path.name + ".new")
        new.write_text(after, encoding="utf-8")
        try:
            read_profile(new)
            new.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", "mend it; --resume asks no model again") from None
    return Saved(path, backup)


def as_text(pair: Profile, tuned: Tuned) -> str:
    """The profile of two models that have none, with the setting in it."""
    return dump(merged(yaml.safe_load(profile_of(pair, "NAME")), tuned))


def dump(data: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)


def merged(data: Mapping[str, Any], tuned: Tuned) -> dict[str, Any]:
    defaults = {**(data.get("defaults") or {}), **tuned.as_defaults()}
    return {**data, "defaults": defaults, "tuned": tuned.as_profile()}


def edited(text: str, tuned: Tuned) -> str | None:
    """The profile with the setting in it, every other character as it was; None where that cannot be done: the result
    is read back, and must be what was meant."""
    wanted = merged(yaml.safe_load(text), tuned)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        return None
    values = {key.value: (key, value) for key, value in node.value}
    changes: list[tuple[int, int, str]] = []
    block = dump({"tuned": tuned.as_profile()})
    if "tuned" in values:
        key, value = values["tuned"]
        changes.append((key.start_mark.index, end(value), block.rstrip("\n")))
    else:
        changes.append((len(text), len(text), ("" if text.endswith("\n") or not text else "\n") + "\n" + block))
    if "defaults" in values:
        changes += within(text, *values["defaults"], tuned.as_defaults())
    else:
        at = changes[0][0]
        line_end = "" if at == 0 or text[at - 1] == "\n" else "\n"
        changes.append((at, at, line_end + dump({"defaults": tuned.as_defaults()})))
    for start, stop, new in sorted(changes, key=lambda change: change[:2], reverse=True):
        text = text[:start] + new + text[stop:]
    with contextlib.suppress(yaml.YAMLError, ValueError):
        if yaml.safe_load(text) == wanted:
            return text
    return None


def within(text: str, key: yaml.Node, value: yaml.Node, settings: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """Changes that put settings into a table, in place where they stand there already."""
    if not isinstance(value, yaml.MappingNode) or value.flow_style or not value.value:
        data = {**(yaml.safe_load(text).get(key.value) or {}), **settings}
        return [(key.start_mark.index, max(end(value), key.end_mark.index + 1), dump({key.value: data}).rstrip("\n"))]
    known = {inner.value: each for inner, each in value.value}
    first = value.value[0][0].start_mark
    changes = []
    for name, setting in settings.items():
        if name in known:
            changes.append((known[name].start_mark.index, end(known[name]), dump({"x": setting})[3:].rstrip("\n")))
        else:
            line = dump({name: setting}) + " " * first.column
            changes.append((first.index, first.index, line))
    return changes


def end(node: yaml.Node) -> int:
    """Where the last character of a value stands; a block's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)
