"""Changes the user's config file key by key: what else stands there, comments too, stays as it was."""

import contextlib
import io
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from speccas.core.atomic import atomic_write, locked
from speccas.core.errors import SpeccasError, UsageError
from speccas.core.files.config import ALIASES, aliases_in, is_alias, parse_config, read_config, settings_in
from speccas.core.nearest import did_you_mean

from .settings import CHECKS, KNOWN, Settings, resolve

NONE = "none"
"""Typed for a limit that there is not, where a setting has such a value."""
BEGIN = """# Settings of speccas: the long flags with underscores. A flag or SPECCAS_NAME goes before what stands here.
# pair: tiny
# temperature: 0.7
# aliases:
#   fast: tiny
"""
"""A new file as an editor shows it."""
Place = tuple[str, ...]


def known_key(key: str) -> Place:
    """Where a key stands in the file: `temperature`, or `aliases.NAME`. Raises UsageError."""
    if key.partition(".")[0] == ALIASES:
        alias = key.partition(".")[2]
        if not is_alias(alias):
            raise UsageError(f"{key!r} names no alias", f"write {ALIASES}.NAME, of letters, digits, . _ and -")
        return (ALIASES, alias)
    name = key.removeprefix("--").replace("-", "_")
    if name not in CHECKS:
        guess = did_you_mean(name, [*CHECKS, ALIASES])
        raise UsageError(f"there is no setting {key!r}", f"{guess}known: {', '.join(CHECKS)}, {ALIASES}.NAME")
    return (name,)


def as_written(place: Place, texts: list[str]) -> Any:
    """A value as it is to stand in the file, from what was typed, checked as that of a flag is. Raises UsageError."""
    from speccas.core.decoding.arms import parse_arm
    from speccas.core.files.profiles import find_profile

    name = place[0]
    if isinstance(getattr(Settings(), name, None), tuple):  # rules, stop texts
        values = list(CHECKS[name](name, texts))
        for rule in values if name == "rule" else ():
            parse_arm(rule)
        return values[0] if len(values) == 1 else values
    if len(texts) != 1:
        raise UsageError(f"{'.'.join(place)} takes one value, not {len(texts)}", "put it in quotes")
    if name == ALIASES:
        return aliased(place[1], texts[0])
    if texts[0] == NONE and KNOWN[name]["null"]:
        return None
    value = CHECKS[name](name, texts[0])
    if name == "pair":
        find_profile(value)
    return "auto" if texts[0] == "auto" else value


def aliased(alias: str, pair: str) -> str:
    """The pair that an alias is to mean. Raises UsageError."""
    from speccas.core.files.profiles import find_profile, profiles

    if alias in profiles():
        raise UsageError(f"there is a pair {alias!r}, which goes before an alias", "give another name")
    if pair not in profiles():
        find_profile(pair)  # raises with the nearest name
        raise UsageError(f"{pair!r} is an alias itself", "give the name of a pair")
    return pair


def set_value(path: Path, place: Place, value: Any) -> None:
    """Write a value of `as_written`. Raises UsageError and SpeccasError."""

    def change(data: Any) -> None:
        for name in place[:-1]:
            if not isinstance(data.get(name), dict):  # none, or nothing behind it
                data[name] = {}
            data = data[name]
        data[place[-1]] = quoted(value)

    change_file(path, change)


def unset(path: Path, place: Place) -> None:
    """Take a key out. Raises UsageError where it is not there."""
    inner = read_config(path)
    for name in place[:-1]:
        inner = inner.get(name) or {}
    if place[-1] not in inner:
        raise UsageError(f"{'.'.join(place)} is not set in {path}", "speccas config list shows what is")

    alone = len(place) > 1 and len(inner) == 1
    gone = place[:1] if alone else place

    def change(data: Any) -> None:
        for name in gone[:-1]:
            data = data[name]
        del data[gone[-1]]

    change_file(path, change, gone)


def change_file(path: Path, change: Callable[[Any], None], gone: Place = ()) -> None:
    """Change the keys of the file, in one piece, one process at a time; `gone` is the key that is taken out. Raises
    UsageError for a file that is not YAML, and SpeccasError where it cannot be written."""
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if path.exists() and not path.is_file():
                raise UsageError(f"{path} is no regular file", "mend it or move it away")
            try:
                before = path.read_text(encoding="utf-8") if path.exists() else ""
            except UnicodeDecodeError:
                raise UsageError(f"{path} is not UTF-8", "mend it or move it away") from None
            replace_file(path, edited(before, change, path, gone))


@contextlib.contextmanager
def written(path: Path) -> Any:
    """Say by name where a file could not be written. Raises SpeccasError."""
    try:
        yield
    except OSError as error:
        raise SpeccasError(f"cannot write {path}: {error.strerror}", "it is as it was") from None


def replace_file(path: Path, text: str | bytes) -> None:
    """Put a new text in the place of the file, behind a link the one that it leads to, with its rights. Raises
    OSError."""
    real = path.resolve()
    private = real.exists() and not stat.S_IMODE(real.stat().st_mode) & 0o077
    atomic_write(real, text, private)


def edited(text: str, change: Callable[[Any], None], path: Path, gone: Place = ()) -> str:
    """The text of a YAML file with its keys changed. Raises UsageError where that would change anything else."""
    wanted: dict[str, Any] = parse_config(text.encode(), path)
    change(wanted)
    ways: list[Callable[[], str]] = [lambda: dumped(text, change)]
    if gone:  # first by its lines: what stands between two keys is kept so
        ways.insert(0, lambda: without_lines(text, gone))
    for way in ways:
        with contextlib.suppress(UsageError, yaml.YAMLError, LookupError):
            if parse_config((new := way()).encode(), path) == wanted:
                return new
    raise UsageError(f"{path} cannot be changed without changing more than that", "speccas config edit")


def dumped(text: str, change: Callable[[Any], None]) -> str:
    """By ruamel.yaml, which keeps comments, order and quotes. Raises UsageError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    file, new = YAML(), io.StringIO()
    file.preserve_quotes, file.width = True, 1 << 20
    if re.search(r"^ +- ", text, re.MULTILINE):
        file.indent(mapping=2, sequence=4, offset=2)
    try:
        data = file.load(text)
        if data is None:  # comments alone, which belong to no key
            new.write(text if text.endswith("\n") or not text else text + "\n")
            data = {}
        change(data)
        file.dump(data, new)
    except YAMLError as error:
        raise UsageError(f"not YAML: {error}", "mend it or move it away") from None
    return new.getvalue() if data else new.getvalue().removesuffix("{}\n")


def without_lines(text: str, place: Place) -> str:
    """A text without the lines of one key. Raises LookupError and YAMLError."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for name in place:
        if not isinstance(node, yaml.MappingNode) or node.flow_style:
            raise LookupError(name)
        key, node = next((key, value) for key, value in node.value if key.value == name)
    assert node is not None
    lines = text.splitlines(keepends=True)
    del lines[key.start_mark.line : last_line(node) + 1]
    return "".join(lines)


def last_line(node: yaml.Node) -> int:
    """Of what a node says; its own end mark may lie behind comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return last_line(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.line)


def quoted(value: Any) -> Any:
    """A value with its texts in quotes where they would be read as something else: on, 12:30, 1_000."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, list):
        return [quoted(each) for each in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not is_plain(value) else value


def is_plain(text: str) -> bool:
    """Whether YAML reads a text without quotes as that text."""
    try:
        return bool(yaml.safe_load(text) == text)
    except (yaml.YAMLError, ValueError):
        return False


def check_config(content: bytes, path: Path) -> None:
    """Raises UsageError for the first thing that is wrong in a whole file: no YAML, an unknown key, a bad value."""
    config = parse_config(content, path)
    aliases_in(config, path)
    resolve({}, {}, settings_in(config), {}, {}, {})
