"""A pair in memory: headers are checked before anything is loaded, and an error leaves nothing behind."""

import sys
from pathlib import Path

import pytest

from speccas import profiles
from speccas.core.errors import CannotPair, IntegrityError, NativeError, SpeccasError, Stopped, UsageError
from speccas.core.files.local import hash_file
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.runtime import llama
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import read_prompt
from speccas.core.runtime.llama import LlamaBackend
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import require_room
from speccas.core.runtime.stop import StopFlag
from tests.builders.loaded import asked, prefill, tokens

assert profiles.__file__
TINY = Path(profiles.__file__).parent / "tiny-drafter.gguf"
OPTIONS = LoadOptions(threads=1, ctx=256)
Heard = list[tuple[str, float]]


def two(drafter: Path, expert: Path) -> Profile:
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
            load_pair(two(drafter, expert), OPTIONS, on_load=lambda role, share: heard.append((role, share)))
        assert not heard, "it loaded something first"


def test_loading_tells_of_both_models_and_closing_frees_both(tmp_path: Path) -> None:
    heard: Heard = []
    files = [write(tmp_path, name, TINY.read_bytes()) for name in ("drafter.gguf", "expert.gguf")]
    with load_pair(two(*files), OPTIONS, on_load=lambda role, share: heard.append((role, share))) as loaded:
        assert loaded.context == 256 and loaded.vocabulary.shared is None
        assert [shares[-1] for shares in ([s for role, s in heard if role == r] for r in ("expert", "drafter"))] == [
            1,
            1,
        ]
        assert (loaded.expert.max_rows, loaded.second_model.model.max_rows) == (17, 1)
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
        load_pair(two(broken, expert), OPTIONS, on_load=on_load)
    assert held and ("expert", 1.0) in heard and not mapped(expert) and not mapped(broken)


def test_a_stop_between_the_models_leaves_nothing(tmp_path: Path) -> None:
    expert = write(tmp_path, "expert.gguf", TINY.read_bytes())
    stop = StopFlag()

    def on_load(role: str, share: float) -> None:
        if role == "drafter":
            stop.set()

    with pytest.raises(Stopped, match="stopped while loading"):
        load_pair(two(TINY, expert), OPTIONS, stop, on_load)
    assert sys.platform != "linux" or not mapped(expert)


def test_the_stop_that_was_given_reaches_both_models() -> None:
    stop = StopFlag()
    with load_pair(two(TINY, TINY), OPTIONS, stop) as loaded:
        assert loaded.stop is stop
        stop.set()
        for model in (loaded.expert, loaded.second_model.model):
            with pytest.raises(Stopped):
                model.extend([1])


def test_a_wrong_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = find_profile("tiny-model").drafter.sha256
    assert LlamaBackend().open(Source(path=str(TINY), sha256=right)).path == TINY and hash_file(TINY) == right
    flipped = bytearray(TINY.read_bytes())
    flipped[-1] ^= 1
    path = write(tmp_path, "flipped.gguf", bytes(flipped))
    with pytest.raises(IntegrityError) as refused:
        LlamaBackend().open(Source(path=str(path), sha256=right))
    assert refused.value.exit_code == 5
    assert (
        hash_file(path) in refused.value.message and right in refused.value.hint and str(path) in refused.value.message
    )
    heard: Heard = []
    wrong = Profile("made", Source(path=str(TINY)), Source(path=str(path), sha256=right))
    with pytest.raises(IntegrityError):
        load_pair(wrong, OPTIONS, on_load=lambda role, share: heard.append((role, share)))
    assert not heard
    monkeypatch.setattr(llama, "CHECK_AT_LOAD", len(flipped) - 1)  # a large file: `verify` is for that
    assert LlamaBackend().open(Source(path=str(path), sha256=right)).path == path


def test_raw_and_the_template() -> None:
    with load_pair(two(TINY, TINY), LoadOptions(threads=1, ctx=64)) as loaded:
        raw = asked(loaded, "Hello there", raw=True)
        assert list(raw.ids) == loaded.weights["expert"].tokenize("Hello there", special=True, begin=True)
        with pytest.raises(UsageError, match="the prompt is empty"):
            require_room(loaded, asked(loaded, "", raw=True))


def test_a_prompt_is_prefilled_but_for_its_last_token_on_both(tiny: Pair) -> None:
    tiny.clear()
    prompt = asked(tiny, "Name three primary colours.")
    steps = list(read_prompt(tiny, prompt))
    assert [step.role for step in steps] == ["expert", "drafter"] and all(step.done == step.total for step in steps)
    assert len(tiny.expert) == len(prompt.ids) - 1 and len(tiny.drafter) == steps[-1].total
    longer = prompt.then(tokens(tiny, " Say why."))
    before = tiny.expert.evaluated
    assert all(seconds > 0 for seconds in prefill(tiny, longer).values())
    assert len(tiny.expert) == len(longer.ids) - 1
    assert tiny.expert.evaluated - before == len(longer.ids) - len(prompt.ids), "what the cache held is kept"
    prefill(tiny, prompt)
    assert len(tiny.expert) == len(prompt.ids) - 1
