"""Settings that belong together: which pair is meant where several places name one, and what goes with --raw."""

from pathlib import Path
from typing import Any

import pytest

from speccas.cli.app import app
from speccas.cli.options import read_settings
from speccas.core.errors import UsageError

FILES = {"drafter": "small.gguf", "expert": "large.gguf"}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The config file of this test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "speccas").mkdir()
    return tmp_path / "speccas/config.yaml"


def pair_of(**flags: Any) -> tuple[str, str, str]:
    found = read_settings(flags, {})
    return found.pair, " ".join(found.drafter), found.expert


def test_the_better_place_says_which_pair(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("drafter: small.gguf\nexpert: large.gguf\n")
    assert pair_of() == ("tiny", "small.gguf", "large.gguf")
    assert pair_of(pair="qwen3-4b") == ("qwen3-4b", "", "")
    monkeypatch.setenv("SPECCAS_PAIR", "qwen3-8b")
    assert pair_of() == ("qwen3-8b", "", "")
    assert pair_of(drafter="a.gguf", expert="b.gguf")[1:] == ("a.gguf", "b.gguf")
    with pytest.raises(UsageError, match="the flag gives a pair and files of another"):
        pair_of(pair="tiny", **FILES)


def test_what_a_profile_says_to_a_template_gives_way_to_raw(config: Path) -> None:
    assert read_settings({"pair": "qwen3-4b"}, {}).think == "off"
    raw = read_settings({"pair": "qwen3-4b", "raw": True}, {})
    assert (raw.think, raw.raw) == ("auto", True)
    config.write_text("think: on\n")
    assert read_settings({"pair": "qwen3-4b"}, {}).think == "on"
    with pytest.raises(UsageError, match=r"think \(from the config file\) does not go with --raw") as caught:
        read_settings({"raw": True}, {})
    assert "--think auto" in caught.value.hint
    assert read_settings({"raw": True, "think": "auto"}, {}).think == "auto"


USELESS = {
    "check a.gguf b.gguf --threads 4": "--threads goes with --measure",
    "replay x.jsonl --why 3 --export x.html": "--why and --export do not go together",
    "replay x.jsonl --force": "--force goes with --export",
    "bench --compare a.json b.json --fail-if-slower 5": "--compare measures nothing: --fail-if-slower has no use there",
    "bench --compare a.json b.json --max-tokens 5": "--compare measures nothing: --max-tokens has no use there",
    "doctor --threads 4": "--threads goes with --curve",
}


@pytest.mark.parametrize("command", USELESS)
def test_a_flag_that_does_nothing_is_refused(command: str) -> None:
    with pytest.raises(UsageError) as caught:
        app(command.split(), standalone_mode=False)
    assert caught.value.message == USELESS[command] and caught.value.hint
