"""What `tune` found for a pair: the file of it beside the user's profiles, a layer of settings of its own.

`pairs/tuned/NAME.yaml` in the config directory holds a date, the machine, the models and the evidence, which names the
setting. Profiles were changed in place before there was such a file: their `tuned` table counts where there is none.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from ..atomic import atomic_write
from ..errors import NameTaken, UsageError
from ..files.profiles import NAME, Profile, profiles, read_profile, user_profiles
from ..files.source import HERE, Source

HEAD = "# What tune found. Delete this file to go back to the profile's own settings.\n"


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
    confidence_temperature: float | None = None
    """At which the drafter's confidence was read; None is as it is. Saved beside the rule."""
    chain_rule: str | None = None
    """Of a chain, the rule between its drafters, saved beside the rule."""
    chain_k: int | None = None
    """Of a chain, the tokens that its first drafter writes ahead, saved beside the rule."""
    file: str = ""
    """Where everything that was measured stands."""

    def as_table(self) -> dict[str, Any]:
        """As it is written down: the `tuned` table of a profile, or a file of its own."""
        given = {key: value for key, value in asdict(self).items() if key not in ("date", "machine")}
        return {"date": self.date, "machine": self.machine, "evidence": given}

    def as_settings(self) -> dict[str, Any]:
        """What it sets."""
        beside = ("threads", "confidence_temperature", "chain_rule", "chain_k")
        others = {name: value for name in beside if (value := getattr(self, name)) is not None}
        return {"rule": self.rule, "draft_tokens": self.draft_tokens, **others}


def tuned_of(profile: Profile) -> Tuned | None:
    """What was found for this pair; None where nothing was. Raises UsageError for a file that cannot be read."""
    return own_file(profile) or parsed(profile.tuned)


def tuned_settings(profile: Profile) -> dict[str, Any]:
    """The layer of settings between the config file and the profile: {} where a profile holds them itself."""
    found = own_file(profile)
    return {} if found is None else found.as_settings()


def own_file(profile: Profile) -> Tuned | None:
    """What the pair's own file says; None where there is none, or where it is about other models than the profile's."""
    path = tuned_file(Path(profile.origin).stem)
    if not profile.origin or not path.is_file():
        return None
    try:
        data = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "mend it or move it away") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        data = None
    found = parsed(data) if isinstance(data, Mapping) else None
    if found is None:
        raise UsageError(f"{path} is not what tune wrote", "delete it: the profile's own settings hold without it")
    return found if data.get("models") == models_of(profile) else None


def parsed(table: Mapping[str, Any]) -> Tuned | None:
    """The finding in a table; None where somebody wrote something else there."""
    evidence = table.get("evidence")
    if not isinstance(evidence, Mapping):
        return None
    known = {each.name: evidence[each.name] for each in fields(Tuned) if each.name in evidence}
    try:
        found = Tuned(**{**known, "date": str(table["date"]), "machine": str(table["machine"])})
    except (KeyError, TypeError):
        return None
    kinds: dict[str, Any] = {
        "rule": str, "draft_tokens": int | str, "faster": bool, "speedup": float | int | None,
        "low": float | int | None, "high": float | int | None, "prompts": int, "quality_loss": float | int | None,
        "temperature": float | int, "threads": int | None, "file": str,
        "confidence_temperature": float | int | None, "chain_rule": str | None, "chain_k": int | None,
    }  # fmt: skip
    return found if all(isinstance(getattr(found, name), kind) for name, kind in kinds.items()) else None


def tuned_file(name: str) -> Path:
    """Where what was found for the profile of this name stands. In a folder of its own: a name may hold any ending."""
    return user_profiles() / "tuned" / f"{name}.yaml"


def models_of(profile: Profile) -> dict[str, str]:
    """Which models a finding is about: a profile of the same name may come to name others."""
    expert = profile.expert
    away = f" on {expert.rpc}{' but its output' * (expert.rpc_output == HERE)}" if expert.rpc else ""
    first = {} if profile.chain is None else {"first": profile.chain.key}
    return {**first, "drafter": profile.drafter.key, "expert": expert.key + away}


def require_name(pair: Profile, name: str) -> None:
    """Raises UsageError where the setting of a pair cannot be saved under a name: it is none, or that of a pair of
    other models."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a pair", "use letters, digits, dots and hyphens")
    known = profiles().get(name)
    if known is not None:
        other = read_profile(known)
        theirs, ours = (
            (each.chain, each.drafter, replace(each.expert, rpc="", rpc_output="")) for each in (other, pair)
        )
        if theirs not in (ours, tuple(each and absolute(each) for each in ours)):
            raise NameTaken(f"there is another pair {name!r} already, in {known}")


def absolute(source: Source) -> Source:
    """The same file from any directory."""
    return replace(source, path=str(Path(source.path).expanduser().resolve())) if source.path else source


def profile_of(pair: Profile, name: str) -> dict[str, Any]:
    """A profile for models that have none."""

    def given(source: Source) -> dict[str, Any]:
        return {key: value for key, value in asdict(absolute(source)).items() if value}

    chain = {} if pair.chain is None else {"chain": given(pair.chain)}
    return {"name": name, **chain, "drafter": given(pair.drafter), "expert": given(pair.expert)}


def save(pair: Profile, name: str, tuned: Tuned) -> Path:
    """Write what was found for the profile of this name, and the profile where two files have none. The profile's file.

    Raises UsageError (as `require_name`) and OSError.
    """
    require_name(pair, name)
    folder = tuned_file(name).parent
    folder.mkdir(parents=True, exist_ok=True)
    profile = profiles().get(name, user_profiles() / f"{name}.yaml")
    if not profile.exists():
        atomic_write(profile, dump(profile_of(pair, name)))
    found = read_profile(profile)
    expert = replace(found.expert, rpc=pair.expert.rpc, rpc_output=pair.expert.rpc_output)
    about = models_of(replace(found, expert=expert))
    atomic_write(tuned_file(name), HEAD + dump({**tuned.as_table(), "models": about}))
    return profile


def as_text(pair: Profile, tuned: Tuned) -> str:
    """The profile of two models that have none, with the setting in it."""
    return dump({**profile_of(pair, "NAME"), "defaults": tuned.as_settings(), "tuned": tuned.as_table()})


def dump(data: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)
