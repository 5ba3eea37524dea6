"""Settings: which source wins, and every bad value named with where it came from."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.play import chosen_profile
from speccas.cli.settings import CHECKS, Settings, resolve
from speccas.core.errors import UsageError
from speccas.core.files.config import read_config

Layer = Mapping[str, Any]


def settle(
    *,
    flags: Layer | None = None,
    environment: Mapping[str, str] | None = None,
    config: Layer | None = None,
    tuned: Layer | None = None,
    profile: Layer | None = None,
    defaults: Layer | None = None,
) -> Settings:
    return resolve(flags or {}, environment or {}, config or {}, tuned or {}, profile or {}, defaults or {})


def test_flag_before_environment_before_config_file_before_tune_before_profile_before_default() -> None:
    layers: dict[str, Layer] = {
        "defaults": {"draft_tokens": 1},
        "profile": {"draft_tokens": 2},
        "tuned": {"draft_tokens": 3},
        "config": {"draft_tokens": 4},
        "environment": {"SPECCAS_DRAFT_TOKENS": "5"},
        "flags": {"draft_tokens": "6"},
    }
    sources = [None, "default", "profile", "tune", "config file", "environment", "flag"]
    names = list(layers)
    for i, source in enumerate(sources):
        found = settle(**{name: layers[name] for name in names[:i]})
        assert found.draft_tokens == (i or Settings().draft_tokens)
        assert found.sources.get("draft_tokens") == source
        gap = settle(**{name: layers[name] for name in names[i:]})
        assert gap.draft_tokens == (6 if i < 6 else Settings().draft_tokens)


def test_what_was_not_given_does_not_count() -> None:
    below = {"stop": ["x"], "temperature": 0.5, "ctx": 99}
    found = settle(flags={"stop": [], "temperature": None, "ctx": None}, config=below)
    assert (found.stop, found.temperature, found.ctx) == (("x",), 0.5, 99)
    assert settle(environment={"SPECCAS_DRAFTTOKENS": "9", "HOME": "/"}) == Settings()


def test_the_same_value_from_everywhere_is_the_same_setting() -> None:
    values: dict[str, tuple[Any, str, Any]] = {  # YAML's, the environment's or a flag's, the setting
        "pair": ("mine", "mine", "mine"),
        "rule": (["token:0.5", "exact"], "token:0.5, exact", ("token:0.5", "exact")),
        "draft_tokens": (16, "16", 16),
        "lookup": (True, "on", "on"),  # YAML reads a bare on as true
        "max_tokens": (1, "1", 1),
        "temperature": (1, "1", 1.0),
        "top_k": (40, "40", 40),
        "top_p": (0.95, ".95", 0.95),
        "min_p": (0, "0", 0.0),
        "repeat_penalty": (1.1, "1.1", 1.1),
        "repeat_last_n": (-1, "-1", -1),
        "budget": (2, "2", 2.0),
        "confidence_temperature": (2, "2", 2.0),
        "drafter": (["small.gguf"], "small.gguf", ("small.gguf",)),
        "chain_rule": ("token:0.5", "token:0.5", "token:0.5"),
        "chain_k": (2, "2", 2),
        "seed": (2**70, str(2**70), 2**70),
        "stop": ("END", "END", ("END",)),
        "ignore_eos": (True, "yes", True),
        "raw": (False, "off", False),
        "think": (False, "off", "off"),
        "system": (5, "5", "5"),
        "ctx": (4096, "4096", 4096),
        "gpu_layers": (-1, "-1", -1),
    }
    for name, (written, typed, wanted) in values.items():
        found = (
            settle(config={name: written}),
            settle(profile={name: written}),
            settle(environment={f"SPECCAS_{name.upper()}": typed}),
            settle(flags={name: typed}),
        )
        assert [getattr(each, name) for each in found] == [wanted] * 4, name


BAD: dict[str, list[Any]] = {
    "rule": ["", ",", [], [[]]],
    "draft_tokens": ["0", "17", "1.5", "x", "", True, [4]],
    "lookup": ["", "maybe", ["on"], {}],
    "max_tokens": ["0", "-1", "inf"],
    "temperature": ["-0.1", "101", "nan", "hot", {}],
    "top_k": ["-1", "1.0"],
    "top_p": ["0", "1.01", "nan"],
    "min_p": ["-0.01", "1.01"],
    "repeat_penalty": ["0", "-1", "101", "nan", "inf", "much", {}],
    "confidence_temperature": ["0", "-1", "21", "nan", "cold", []],
    "repeat_last_n": ["-2", "1.5", "all", [64]],
    "seed": ["-1", "abc", "1e3"],
    "stop": ["", ["a", ""], [["a"]], "a\udcff"],
    "ignore_eos": ["maybe", "2", [True]],
    "raw": ["", "y es"],
    "think": ["", "maybe", "yes", [True]],
    "test": ["", "Token", {}],
    "budget": ["-1", "inf", "nan", "much", [1]],
    "system": [["a"], {"a": 1}, "\udcff", "\ud800"],
    "pair": [{}],
    "ctx": ["0", "-1", str((1 << 24) + 1), "many"],
    "threads": ["0", "1025"],
    "gpu_layers": ["-2", "10001"],
    "drafter_gpu_layers": ["-2", "all"],
    "drafter": [["a", "b", "c"], [["a"]], {}],
    "chain_rule": [["exact"], {}],
    "chain_k": ["0", "17", "auto"],
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_named_with_their_source(name: str) -> None:
    for value in BAD[name]:
        with pytest.raises(UsageError, match=rf"^{name} \(from the config file\)") as caught:
            settle(config={name: value})
        assert caught.value.exit_code == 2 and caught.value.hint and "\n" not in caught.value.message
        with pytest.raises(UsageError, match=rf"^{name} \(from the profile\)"):
            settle(profile={name: value})
        if isinstance(value, str):
            with pytest.raises(UsageError, match=rf"^{name} \(from the environment\)"):
                settle(environment={f"SPECCAS_{name.upper()}": value})
            with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')} "):
                settle(flags={name: value})


def test_a_bad_value_counts_even_where_a_better_source_wins() -> None:
    with pytest.raises(UsageError, match="config file"):
        settle(config={"draft_tokens": 99}, flags={"draft_tokens": "4"})


def test_only_some_settings_can_be_null() -> None:
    assert settle(config={"max_tokens": None, "ctx": None, "threads": None, "budget": None}).max_tokens is None
    for name in set(CHECKS) - {"max_tokens", "ctx", "threads", "budget"}:
        with pytest.raises(UsageError, match=rf"{name} \(from the config file\) has no value"):
            settle(config={name: None})


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown key 'temprature' in the config file") as caught:
        settle(config={"temprature": 1})
    assert caught.value.hint.startswith("did you mean 'temperature'?")
    with pytest.raises(UsageError, match="unknown key 'zzz' in the profile") as caught:
        settle(profile={"zzz": 1})
    assert caught.value.hint.startswith("known keys: pair, ")


def test_every_setting_is_checked() -> None:
    assert {each.name for each in fields(Settings)} - {"sources"} == set(CHECKS)


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(CHECKS)), nested)
def test_any_value_is_a_setting_or_a_usage_error(name: str, value: Any) -> None:
    try:
        found = settle(config={name: value})
    except UsageError as error:
        assert name in error.message
    else:
        hash(getattr(found, name))


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "config.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_config_file(tmp_path: Path) -> None:
    assert read_config(tmp_path / "missing.yaml") == {} == read_config(write(tmp_path, "# nothing\n"))
    assert read_config(write(tmp_path, "temperature: 0.7\nrule: [token:0.5, exact]\n1: 2\n")) == {
        "temperature": 0.7,
        "rule": ["token:0.5", "exact"],
        "1": 2,
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("- a", "holds no keys"),
        ("b: [1", "is not YAML: while parsing a flow sequence"),
        (b"a: \xff", "is not YAML"),
        ("a: 2024-13-45", "is not YAML: month must be in 1..12"),
        ("a: !!python/object/apply:os.getcwd []", "is not YAML: could not determine a constructor"),
        ("[" * 3000, "is not YAML"),
        ("#" * ((1 << 20) + 1), "too large for a config file"),
    ],
    ids=["a list", "unfinished", "not UTF-8", "no such day", "code", "deep", "long"],
)
def test_a_config_file_that_cannot_be_read(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=says) as caught:
        read_config(path)
    assert str(path) in caught.value.message and "\n" not in caught.value.message


def test_which_pair_the_settings_mean() -> None:
    assert chosen_profile(Settings()).name == "tiny"
    two = chosen_profile(Settings(drafter=("a/small.gguf",), expert="b/large.gguf"))
    assert (two.name, two.drafter.path, two.expert.path) == ("small + large", "a/small.gguf", "b/large.gguf")
    named = chosen_profile(Settings(drafter=("hf:a/Qwen2.5-0.5B:Q4_0",), expert="ollama:llama3.2:1b"))
    assert named.name == "Qwen2.5-0.5B:Q4_0 + ollama:llama3.2:1b"
    for drafter, expert, missing in (("x", "", "--expert"), ("", "x", "--drafter")):
        with pytest.raises(UsageError, match=f"{missing} is missing"):
            chosen_profile(Settings(drafter=(drafter,) * bool(drafter), expert=expert))
    with pytest.raises(UsageError, match="there is no pair 'none'"):
        chosen_profile(Settings(pair="none"))
