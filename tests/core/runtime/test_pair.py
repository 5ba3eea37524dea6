"""A pair in memory: headers are checked before anything is loaded, and an error leaves nothing behind."""

import sys
from pathlib import Path

import pytest

from speccas.core.conversation.template import Message
from speccas.core.errors import CannotPair, IntegrityError, NativeError, SpeccasError, Stopped, UsageError
from speccas.core.files.local import hash_file
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.runtime import pair as load
from speccas.core.runtime.llama import StopFlag
from speccas.core.runtime.pair import LoadedPair, chosen_pair, open_file
from speccas.core.settings import Settings
from tests.builders.models import TINY

SETTINGS = Settings(threads=1, ctx=256)
Heard = list[tuple[str, float]]


def pair(drafter: Path, expert: Path) -> Profile:
    return Profile("made", Source(path=str(drafter)), Source(path=str(expert)))


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def changed(folder: Path, name: str, old: bytes, new: bytes) -> Path:
    """The tiny drafter with some bytes of its header replaced."""
    data = TINY.read_bytes()
    assert len(old) == len(new) and old in data
    return write(folder, name, data.replace(old, new))


def mapped(path: Path) -> bool:
    """Whether this process has the file in memory."""
    return str(path) in Path("/proc/self/maps").read_text()


def test_both_headers_are_read_before_anything_is_loaded(tmp_path: Path) -> None:
    cut = write(tmp_path, "cut.gguf", TINY.read_bytes()[:-1])
    bert = changed(tmp_path, "bert.gguf", b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0bertx")
    cases: list[tuple[Path, Path, type[SpeccasError]]] = [
        (TINY, cut, IntegrityError),
        (cut, TINY, IntegrityError),
        (TINY, bert, CannotPair),
        (bert, TINY, CannotPair),
        (TINY, tmp_path / "missing.gguf", UsageError),
        (TINY, tmp_path, UsageError),
    ]
    heard: Heard = []
    for drafter, expert, kind in cases:
        with pytest.raises(kind):
            LoadedPair(pair(drafter, expert), SETTINGS, on_load=lambda role, share: heard.append((role, share)))
        assert not heard, "it loaded something first"


def test_loading_tells_of_both_models_and_closing_frees_both(tmp_path: Path) -> None:
    heard: Heard = []
    files = [write(tmp_path, name, TINY.read_bytes()) for name in ("drafter.gguf", "expert.gguf")]
    with LoadedPair(pair(*files), SETTINGS, on_load=lambda role, share: heard.append((role, share))) as loaded:
        assert loaded.context == 256 and loaded.vocabulary.shared is None
        assert [shares[-1] for shares in ([s for role, s in heard if role == r] for r in ("expert", "drafter"))] == [
            1,
            1,
        ]
        assert (loaded.expert.max_rows, loaded.small.max_rows) == (17, 1)
        assert sys.platform != "linux" or all(map(mapped, files)) or not any(map(mapped, files))
    if sys.platform == "linux":
        assert not any(map(mapped, files))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_stays_loaded_when_the_second_model_fails(tmp_path: Path) -> None:
    expert = write(tmp_path, "expert.gguf", TINY.read_bytes())
    broken = changed(tmp_path, "broken.gguf", b"blk.0.attn_q.weight", b"blk.0.attn_Z.weight")
    heard: Heard = []
    held = False

    def on_load(role: str, share: float) -> None:
        nonlocal held
        heard.append((role, share))
        held = held or mapped(expert)

    with pytest.raises(NativeError, match=r"broken\.gguf: .*blk\.0\.attn_q\.weight"):
        LoadedPair(pair(broken, expert), SETTINGS, on_load=on_load)
    assert held and ("expert", 1.0) in heard and not mapped(expert) and not mapped(broken)


def test_a_stop_between_the_models_leaves_nothing(tmp_path: Path) -> None:
    expert = write(tmp_path, "expert.gguf", TINY.read_bytes())
    stop = StopFlag()

    def on_load(role: str, share: float) -> None:
        if role == "drafter":
            stop.set()

    with pytest.raises(Stopped, match="stopped while loading"):
        LoadedPair(pair(TINY, expert), SETTINGS, stop, on_load)
    assert sys.platform != "linux" or not mapped(expert)


def test_the_stop_that_was_given_reaches_both_models() -> None:
    stop = StopFlag()
    with LoadedPair(pair(TINY, TINY), SETTINGS, stop) as loaded:
        assert loaded.stop is stop and loaded.expert.stop is stop and loaded.small.stop is stop


def test_a_wrong_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = find_profile("tiny").drafter.sha256
    assert open_file(Source(path=str(TINY), sha256=right))[0] == TINY and hash_file(TINY) == right
    flipped = bytearray(TINY.read_bytes())
    flipped[-1] ^= 1
    path = write(tmp_path, "flipped.gguf", bytes(flipped))
    with pytest.raises(IntegrityError) as refused:
        open_file(Source(path=str(path), sha256=right))
    assert refused.value.exit_code == 5
    assert (
        hash_file(path) in refused.value.message and right in refused.value.hint and str(path) in refused.value.message
    )
    heard: Heard = []
    wrong = Profile("made", Source(path=str(TINY)), Source(path=str(path), sha256=right))
    with pytest.raises(IntegrityError):
        LoadedPair(wrong, SETTINGS, on_load=lambda role, share: heard.append((role, share)))
    assert not heard
    monkeypatch.setattr(load, "CHECK_AT_LOAD", len(flipped) - 1)  # a large file: `verify` is for that
    assert open_file(Source(path=str(path), sha256=right))[0] == path


def test_which_pair_the_settings_mean() -> None:
    assert chosen_pair(Settings()).name == "tiny"
    two = chosen_pair(Settings(drafter="a/small.gguf", expert="b/large.gguf"))
    assert (two.name, two.drafter.path, two.expert.path) == ("small + large", "a/small.gguf", "b/large.gguf")
    for drafter, expert, missing in (("x", "", "--expert"), ("", "x", "--drafter")):
        with pytest.raises(UsageError, match=f"{missing} is missing"):
            chosen_pair(Settings(drafter=drafter, expert=expert))
    with pytest.raises(UsageError, match="there is no pair 'none'"):
        chosen_pair(Settings(pair="none"))


def test_raw_and_the_template() -> None:
    hello = [Message("user", "Hello there")]
    with LoadedPair(pair(TINY, TINY), Settings(threads=1, ctx=64, raw=True)) as loaded:
        raw = loaded.prompt_ids(hello)
        assert raw == loaded.expert.tokenize("Hello there", special=True, begin=True)
        with pytest.raises(UsageError, match="the prompt is empty"):
            loaded.prompt_ids([Message("user", "")])


def test_a_prompt_is_prefilled_but_for_its_last_token_on_both(tiny: LoadedPair) -> None:
    ids = tiny.prompt_ids([Message("user", "Name three primary colours.")])
    steps = list(tiny.prefill(ids))
    assert [step.role for step in steps] == ["expert", "drafter"] and all(step.done == step.total for step in steps)
    assert len(tiny.expert) == len(ids) - 1 and len(tiny.small) == steps[-1].total
    assert all(seconds > 0 for seconds in tiny.prefill_seconds.values())
    longer = [*ids, *tiny.expert.tokenize(" Say why.", special=False)]
    before = tiny.expert.evaluated
    list(tiny.prefill(longer))
    assert len(tiny.expert) == len(longer) - 1
    assert tiny.expert.evaluated - before == len(longer) - len(ids), "what the cache held is kept"
    list(tiny.prefill(ids))
    assert len(tiny.expert) == len(ids) - 1
