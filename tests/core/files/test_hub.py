"""Downloads from a hub that misbehaves: what ends on the disk, what was served, and what is said."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, hf_hub_download
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.errors import AccessRefused, DoesNotFit, IntegrityError, SpeccasError, Unavailable, UsageError
from speccas.core.files import cache as store
from speccas.core.files import hub as hub_module
from speccas.core.files import transfer
from speccas.core.files.administration import remove_model, verify
from speccas.core.files.cache import Entry, find, read_lock
from speccas.core.files.hub import keep, look_up, plan, pull, remote_header, require_space
from speccas.core.files.listing import RemoteFile, check_name, choose
from speccas.core.files.profiles import user_profiles
from speccas.core.files.source import Source, parse_source
from speccas.core.headers.gguf import read_header
from tests.builders import models
from tests.hub_server import Hub

TINY = models.TINY.read_bytes()
DATA = os.urandom(3 << 20)
REPO, FILE = "owner/model-GGUF", "model-Q4_K_M.gguf"
SOURCE = Source(hf=REPO, quant="Q4_K_M")


def get(source: Source = SOURCE, pair: str = "pair", heard: list[int] | None = None) -> Entry:
    remote = look_up(source)
    require_space(plan([remote]))
    return pull(source, remote, pair, lambda _file, done, _size: None if heard is None else heard.append(done))


def blobs(tmp_path: Path) -> list[str]:
    return [each.name for each in (tmp_path / "hf/hub").glob("models--*/blobs/*")]


def part(tmp_path: Path, data: bytes, name: str) -> Path:
    path = store.repository_dir(REPO) / "blobs" / (name + store.PART)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- what a good download leaves ----------------------------------------------------------------------------


def test_a_pull_leaves_the_file_where_the_hubs_own_tools_find_it(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, {FILE: DATA, "README.md": b"# hello"})
    heard: list[int] = []
    entry = get(heard=heard)
    assert entry.paths[0].read_bytes() == DATA
    assert heard[-1] == len(DATA)
    assert entry.pairs == ("pair",)
    assert read_lock()[SOURCE.key] == entry
    asked = len(hub.seen)
    for revision in ("main", "1" * 40):
        path = hf_hub_download(REPO, FILE, revision=revision, local_files_only=True, cache_dir=constants.HF_HUB_CACHE)
        assert Path(path) == entry.paths[0]
    assert find(SOURCE) == entry
    assert keep(SOURCE, "other") is not None
    assert len(hub.seen) == asked  # no request for any of this
    assert hub.bytes_served == len(DATA)


def test_a_file_that_another_tool_pulled_is_found_without_a_lock(hub: Hub) -> None:
    hub.add(REPO, {FILE: DATA})
    entry = get()
    store.lock_file().unlink()
    found = find(SOURCE)
    assert found is not None and found.paths == entry.paths and found.files == entry.files
    assert find(Source(hf=REPO)) is not None
    assert find(Source(hf=REPO, quant="Q8_0")) is None


def test_a_file_that_was_cut_short_since_is_not_here(hub: Hub) -> None:
    """Its name in the cache still says that it is whole; the lock knows how long it was."""
    hub.add(REPO, {FILE: DATA})
    blob = get().paths[0].resolve()
    blob.write_bytes(DATA[:-1000])
    assert find(SOURCE) is None and find(Source(hf=REPO)) is None
    assert keep(SOURCE, "pair") is None
    assert get().paths[0].read_bytes() == DATA


def test_a_damaged_lock_is_as_none(hub: Hub) -> None:
    hub.add(REPO, {FILE: DATA})
    entry = get()
    good = store.lock_file().read_text()
    for bad in ("", "{", "[]", '{"schema": 2}', good.replace(FILE, "../../up.gguf"), good.replace('"files"', '"fils"')):
        store.lock_file().write_text(bad)
        assert read_lock() == {}
        found = find(SOURCE)
        assert found is not None and found.paths == entry.paths


# --- cut off, changed, wrong --------------------------------------------------------------------------------


def test_a_part_is_continued_and_hashed_as_a_whole(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    part(tmp_path, DATA[:1_000_000], served.sha256)
    assert get().paths[0].read_bytes() == DATA
    assert hub.bytes_served == len(DATA) - 1_000_000
    assert hub.asked("files")[0].headers["range"] == "bytes=1000000-"


@pytest.mark.parametrize("size", [len(DATA), len(DATA) + 5])
def test_a_part_as_long_as_the_file_or_longer(hub: Hub, tmp_path: Path, size: int) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    part(tmp_path, (DATA + bytes(5))[:size], served.sha256)
    assert get().paths[0].read_bytes() == DATA
    assert hub.bytes_served == (0 if size == len(DATA) else len(DATA))


def test_a_server_that_ignores_ranges_has_its_file_written_from_the_start(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.ignore_ranges = True
    part(tmp_path, DATA[:1_000_000], served.sha256)
    assert get().paths[0].read_bytes() == DATA
    assert hub.bytes_served == len(DATA)


def test_a_file_that_changed_between_two_runs_starts_over(hub: Hub, tmp_path: Path) -> None:
    old = hub.add(REPO, {FILE: DATA}).files[FILE]
    stale = part(tmp_path, DATA[:1_000_000], old.sha256)
    new = hub.add(REPO, {FILE: DATA[::-1]}, commit="2" * 40).files[FILE]
    entry = get()
    assert entry.paths[0].read_bytes() == DATA[::-1]
    assert entry.commit == "2" * 40
    assert hub.bytes_served == len(DATA)
    assert not stale.exists()
    assert blobs(tmp_path) == [new.sha256]


@pytest.mark.parametrize("at", [0, 1_500_000, len(DATA) - 1])
def test_one_wrong_byte_is_found_named_and_fetched_again(hub: Hub, tmp_path: Path, at: int) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.claimed = served.sha256
    served.data = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
    with pytest.raises(IntegrityError, match=served.claimed) as raised:
        get()
    assert FILE in raised.value.message and hashlib.sha256(served.data).hexdigest() in raised.value.message
    assert blobs(tmp_path) == []
    assert find(SOURCE) is None and read_lock() == {}
    served.data = DATA
    assert get().paths[0].read_bytes() == DATA
    assert hub.bytes_served == 2 * len(DATA)


def test_a_wrong_byte_in_a_part_is_found_too(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    part(tmp_path, bytes([DATA[0] ^ 1]) + DATA[1:1_000_000], served.sha256)
    with pytest.raises(IntegrityError, match="SHA-256"):
        get()
    assert blobs(tmp_path) == []
    assert get().paths[0].read_bytes() == DATA


def test_a_wrong_blob_that_was_there_is_replaced(hub: Hub) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    blob = store.repository_dir(REPO) / "blobs" / served.sha256
    blob.parent.mkdir(parents=True)
    blob.write_bytes(DATA[:-1] + b"\0")
    assert get().paths[0].read_bytes() == DATA


def test_a_connection_that_is_closed_early_is_taken_up_again(hub: Hub) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.close_at = 200_000
    assert get().paths[0].read_bytes() == DATA
    assert hub.bytes_served == len(DATA)
    starts = [each.headers.get("range") for each in hub.asked("files")]
    assert len(starts) == 16 > transfer.TRIES and starts[:3] == [None, "bytes=200000-", "bytes=400000-"]


def test_a_connection_that_never_gets_further_is_given_up_and_kept(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.close_at = 1000
    with pytest.raises(Unavailable, match="bytes") as raised:
        get()
    assert "go on" in raised.value.hint
    assert len(hub.asked("files")) == transfer.TRIES
    kept = blobs(tmp_path)
    assert kept == [served.sha256 + store.PART]
    served.close_at = None
    assert get().paths[0].read_bytes() == DATA
    assert hub.bytes_served == len(DATA)


def test_a_server_that_ignores_ranges_and_always_closes_early_is_given_up(hub: Hub) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.close_at, served.ignore_ranges = 1 << 20, True
    with pytest.raises(Unavailable):
        get()
    assert len(hub.asked("files")) <= transfer.TRIES + 1


@pytest.mark.slow
def test_a_server_that_stalls_is_asked_again(hub: Hub) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.pause_at = 1 << 20
    with pytest.raises(Unavailable, match=r"at 1,048,576 of"):
        get()
    hub.resume.set()
    assert get().paths[0].read_bytes() == DATA
    assert hub.asked("files")[-1].headers["range"] == "bytes=1048576-"


@pytest.mark.parametrize("size", [len(DATA) - 1, len(DATA) + 1])
def test_a_size_that_is_not_the_listings(hub: Hub, tmp_path: Path, size: int) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.size = size
    with pytest.raises(IntegrityError, match=f"is {len(DATA):,} bytes on the server, expected {size:,}"):
        get()
    assert blobs(tmp_path) == []


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_a_server_that_does_not_say_how_long_a_file_is(hub: Hub, tmp_path: Path, more: int) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.no_length, served.size = True, len(DATA) + more
    if more == 0:
        assert get().paths[0].read_bytes() == DATA
    else:
        with pytest.raises(IntegrityError, match=FILE):
            get()
        assert blobs(tmp_path) == []
    assert hub.bytes_served <= len(DATA)


def test_a_busy_server_is_asked_again_and_a_broken_one_is_not_asked_forever(hub: Hub) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.statuses = [503, 429, 500]
    assert get().paths[0].read_bytes() == DATA
    remove_model(SOURCE, "pair")
    served.statuses = [503] * 20
    with pytest.raises(Unavailable, match="503"):
        get()


# --- the disk -----------------------------------------------------------------------------------------------


def test_too_little_disk_is_said_before_the_first_byte(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, {FILE: DATA})
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, hub_module.MARGIN + len(DATA) - 1))
    with pytest.raises(DoesNotFit, match="GB free"):
        get()
    assert not hub.asked("files")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, hub_module.MARGIN + len(DATA)))
    get()


def test_a_disk_that_fills_up_is_named_and_left_as_it_was(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    full = store.repository_dir(REPO) / "blobs" / (served.sha256 + store.PART)
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")  # the kernel's own ENOSPC
    remote = look_up(SOURCE)
    with pytest.raises(DoesNotFit, match="disk became full"):
        pull(SOURCE, remote, "pair", lambda *_: None)
    assert blobs(tmp_path) == []
    assert errno.ENOSPC in transfer.FULL


# --- names --------------------------------------------------------------------------------------------------

WILD = [
    "../x.gguf", "a/../../x.gguf", "a/..\\..\\x.gguf", "/etc/x.gguf", "C:\\x.gguf", "D:x.gguf", "\\\\h\\s\\x.gguf",
    "a\0.gguf", "CON.gguf", "a/con.gguf", "lpt1.Q4.gguf", "x" * 300 + ".gguf", "a//b.gguf", "./a.gguf", "a/. /b.gguf",
    "a./b.gguf", "\x1b]0;t\x07.gguf", "a\n.gguf", "a:b.gguf", "",
]  # fmt: skip


@pytest.mark.parametrize("name", WILD)
def test_a_name_that_could_leave_the_cache_is_refused_before_anything_is_made(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    with pytest.raises(IntegrityError):
        check_name(name)
    if name:
        hub.add(REPO, {name: DATA})
        with pytest.raises(IntegrityError, match="not a name"):
            get(Source(hf=REPO))
    assert not (tmp_path / "hf").exists()
    assert not hub.asked("files")


@pytest.mark.slow
@given(st.text(alphabet="./\\ab:C~ \0", max_size=12) | st.text(max_size=20))
def test_every_name_that_passes_stays_inside(name: str) -> None:
    root = Path("/root/of/cache")
    try:
        check_name(name)
    except IntegrityError:
        return
    whole = Path(os.path.normpath(root.joinpath(*name.split("/"))))
    assert whole.is_relative_to(root) and whole != root and len(whole.parts) == len(root.parts) + len(name.split("/"))


@pytest.mark.parametrize("commit", ["../../../up", "main", "", "1" * 39, "G" * 40])
def test_a_commit_that_is_none(hub: Hub, tmp_path: Path, commit: str) -> None:
    hub.add(REPO, {FILE: DATA}, commit=commit)
    with pytest.raises(IntegrityError, match="commit"):
        get()
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize("claimed", ["../../../up", "abc", "g" * 64])
def test_a_hash_that_is_none(hub: Hub, tmp_path: Path, claimed: str) -> None:
    hub.add(REPO, {FILE: DATA}).files[FILE].claimed = claimed
    with pytest.raises(IntegrityError, match="SHA-256"):
        get()
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    "text", ["hf:", "hf:x", "hf:a/b/c", "hf:../x", "hf:-a/b", "hf:a/..", "hf:a/b\n:Q4", "hf:a b/c"]
)
def test_a_source_that_names_no_repository(text: str) -> None:
    with pytest.raises(UsageError, match="repository"):
        parse_source(text)


def test_sources_as_typed() -> None:
    assert parse_source("hf:a/b") == Source(hf="a/b")
    assert parse_source("hf:a/b:q4_k_m") == Source(hf="a/b", quant="q4_k_m")
    assert parse_source("hf:a/b:x/y-Q8_0.gguf") == Source(hf="a/b", file="x/y-Q8_0.gguf")
    assert parse_source("models/a.gguf") == Source(path="models/a.gguf")


# --- access -------------------------------------------------------------------------------------------------


def refuse(hub: Hub) -> None:
    hub.add(REPO, {FILE: DATA})


CASES: dict[str, tuple[Callable[[Hub], Any], Source, type[SpeccasError], str]] = {
    "gated": (
        lambda hub: hub.add(REPO, {FILE: DATA}, gated=True),
        SOURCE,
        AccessRefused,
        f"{REPO} is gated",
    ),
    "private": (lambda hub: hub.add(REPO, {FILE: DATA}, private=True), SOURCE, AccessRefused, "private"),
    "missing": (lambda hub: None, SOURCE, AccessRefused, "does not exist"),
    "revision": (refuse, Source(hf=REPO, quant="Q4_K_M", revision="v9"), UsageError, "revision 'v9'"),
    "quant": (refuse, Source(hf=REPO, quant="Q8_0"), UsageError, "has no Q8_0"),
    "file": (refuse, Source(hf=REPO, file="other.gguf"), UsageError, "has no other.gguf"),
    "no model": (lambda hub: hub.add(REPO, {"README.md": b"x"}), SOURCE, UsageError, "no GGUF"),
    "changed": (refuse, Source(hf=REPO, quant="Q4_K_M", sha256="a" * 64), IntegrityError, "a" * 64),
}


@pytest.mark.parametrize("case", CASES)
def test_refusals_say_what_to_do(hub: Hub, tmp_path: Path, case: str) -> None:
    prepare, source, kind, says = CASES[case]
    prepare(hub)
    with pytest.raises(kind, match=says) as raised:
        get(source)
    assert type(raised.value) is kind
    if kind is AccessRefused:
        assert "hf auth login" in raised.value.hint and f"{hub.url}/{REPO}" in raised.value.hint
    assert find(source) is None


def test_a_missing_repository_with_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    with pytest.raises(UsageError, match="no repository"):
        get()


def test_the_token_goes_to_the_hub_alone(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.token = "hf_secretsecretsecret"
    with pytest.raises(AccessRefused):
        get()
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert get().paths[0].read_bytes() == DATA
    files = hub.asked("files") + hub.asked("files", "HEAD")
    assert files and not any("authorization" in each.headers for each in files)
    assert all(each.headers.get("authorization") == f"Bearer {hub.token}" for each in hub.asked("hub")[1:])
    assert hub.token.encode() not in store.lock_file().read_bytes()


def test_no_error_repeats_a_token_or_a_signed_url(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.token = "hf_secretsecretsecret"
    monkeypatch.setenv("HF_TOKEN", hub.token)
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    for statuses in ([403], [404], [418], [503] * 9):
        served.statuses = statuses
        with pytest.raises(SpeccasError) as raised:
            get()
        said = f"{raised.value!r} {raised.value.message} {raised.value.hint}"
        assert hub.token not in said and "secret" not in said
        served.statuses = []


def test_offline_and_no_server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, {FILE: DATA})
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
        get()
    assert not hub.seen
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="does not answer"):
        get()


# --- which file ---------------------------------------------------------------------------------------------


def files(*names: str) -> list[RemoteFile]:
    return [RemoteFile(name, 1000, "a" * 64) for name in names]


@pytest.mark.parametrize(
    ("names", "quant", "chosen"),
    [
        (["m-BF16.gguf", "m-F16.gguf"], "F16", "m-F16.gguf"),
        (["UD/m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], "Q4_K_M", "m-Q4_K_M.gguf"),
        (["m-UD-Q4_K_M.gguf", "m-Q4_K_M.gguf"], "ud-q4_k_m", "m-UD-Q4_K_M.gguf"),
        (["m-q4_k_m-00001-of-00002.gguf", "m-q4_k_m-00002-of-00002.gguf", "m-q4_k_m.gguf"], "Q4_K_M", "m-q4_k_m.gguf"),
        (["m-Q4_K_M.gguf", "mmproj-m-Q4_K_M.gguf"], "Q4_K_M", "m-Q4_K_M.gguf"),
        (["old/m-Q8_0.gguf", "m-Q8_0.gguf"], "Q8_0", "m-Q8_0.gguf"),
        (["m.Q8_0.gguf"], "", "m.Q8_0.gguf"),
        (["m-Q8_0.gguf", "m-Q4_0.gguf", "m-Q4_K_M.gguf"], "", "m-Q4_K_M.gguf"),
        (["m-Q8_0.gguf", "m-Q4_0.gguf"], "", "m-Q4_0.gguf"),
        (["only-IQ2_M.gguf"], "", "only-IQ2_M.gguf"),
        (["m-Q4_K_S.gguf", "m-Q4_K_M.gguf"], "Q4_K_S", "m-Q4_K_S.gguf"),
    ],
)
def test_the_file_that_a_quant_means(names: list[str], quant: str, chosen: str) -> None:
    assert choose(files(*names), REPO, quant)[0].path == chosen


@pytest.mark.parametrize(
    ("names", "pattern", "chosen"),
    [
        (["m-Q8_0.gguf", "eagle3-m-Q8_0.gguf"], "*-Q8_0.gguf", "m-Q8_0.gguf"),
        (["m-Q8_0.gguf", "eagle3-m-Q8_0.gguf"], "eagle3-m-Q8_0.gguf", "eagle3-m-Q8_0.gguf"),
        (["m.gguf", "heads/mtp-m.gguf"], "heads/mtp-m.gguf", "heads/mtp-m.gguf"),
        (["m[1].gguf", "m1.gguf"], "m[1].gguf", "m[1].gguf"),
    ],
)
def test_a_file_named_in_full_is_taken_whatever_it_is(names: list[str], pattern: str, chosen: str) -> None:
    assert choose(files(*names), REPO, pattern=pattern)[0].path == chosen


@pytest.mark.parametrize(
    ("names", "quant", "says", "offers"),
    [
        (["m-Q8_0.gguf"], "Q4_K_M", "has no Q4_K_M", "Q8_0 (0.00 GB)"),
        (["m-UD-Q4_K_M.gguf"], "Q4_K_M", "has no Q4_K_M", "UD-Q4_K_M"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", "more than one", "a-Q8_0.gguf (0.00 GB), b-Q8_0.gguf"),
        (["a-IQ1_S.gguf", "a-Q2_K.gguf"], "", "more than one", "IQ1_S"),
    ],
)
def test_a_quant_that_means_none_or_many(names: list[str], quant: str, says: str, offers: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)) as raised:
        choose(files(*names), REPO, quant)
    assert offers in raised.value.hint


def test_a_split_model_is_one_and_needs_every_part(hub: Hub) -> None:
    names = [f"m-Q4_K_M-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    hub.add(REPO, {name: DATA[: 1000 * i] for i, name in enumerate(names, 1)})
    entry = get()
    assert [path.name for path in entry.paths] == names and entry.bytes == 6000
    entry.paths[2].unlink()
    assert find(SOURCE) is None
    hub.add(REPO, dict.fromkeys(names[:2], DATA), commit="3" * 40)
    with pytest.raises(IntegrityError, match="only 2 of the 3 parts"):
        get()


# --- headers over ranges ------------------------------------------------------------------------------------


def test_a_header_over_ranges_reads_little(hub: Hub, tmp_path: Path) -> None:
    whole = TINY
    hub.add(REPO, {FILE: whole})
    path = tmp_path / "here.gguf"
    path.write_bytes(whole)
    found, here = remote_header(look_up(SOURCE)), read_header(path)
    assert (found.metadata, found.tensors, found.file_bytes) == (here.metadata, here.tensors, here.file_bytes)
    assert hub.bytes_served == hub_module.FIRST < len(whole)


def test_a_header_longer_than_the_first_range(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FIRST", 1000)
    hub.add(REPO, {FILE: TINY})
    header = remote_header(look_up(SOURCE))
    assert header.architecture == "llama"
    assert hub.bytes_served < 2.5 * header.data_offset
    ranges = [each.headers["range"] for each in hub.asked("files")]
    assert ranges[0] == "bytes=0-999" and ranges[1].startswith("bytes=1000-")


def test_a_header_from_a_server_that_ignores_ranges(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FIRST", 1000)
    hub.add(REPO, {FILE: TINY}).files[FILE].ignore_ranges = True
    assert remote_header(look_up(SOURCE)).architecture == "llama"


def test_a_header_of_something_else(hub: Hub) -> None:
    hub.add(REPO, {FILE: b"<html>not found</html>"})
    with pytest.raises(IntegrityError, match="not a GGUF"):
        remote_header(look_up(SOURCE))


# --- verify and remove --------------------------------------------------------------------------------------


def test_verify_finds_and_deletes_a_damaged_download(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    entry = get()
    assert [each.right for each in verify(SOURCE, lambda *_: None)] == [True]
    blob = entry.paths[0].resolve()
    blob.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    found = list(verify(SOURCE, lambda *_: None))
    assert [each.right for each in found] == [False] and found[0].deleted
    assert blobs(tmp_path) == [] and find(SOURCE) is None
    assert get().paths[0].read_bytes() == DATA


def test_remove_frees_everything(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA, "other-Q8_0.gguf": DATA[:10]})
    get()
    removed = remove_model(SOURCE, "pair")
    assert removed.freed == len(DATA) and not removed.kept_for
    assert find(SOURCE) is None and read_lock() == {}
    assert not list((tmp_path / "hf/hub").glob("models--*"))


def test_remove_keeps_what_another_pair_uses(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    get(pair="hf:one")
    get(Source(hf=REPO), pair="hf:two")  # the same file, asked for otherwise
    assert remove_model(SOURCE, "hf:one").kept_for == ("hf:two",)
    assert find(SOURCE) is not None
    assert remove_model(Source(hf=REPO), "hf:two").freed == len(DATA)


def test_remove_keeps_what_another_pair_names_by_its_path(hub: Hub) -> None:
    """As a pair does of which one file was made: the other is where it was pulled to."""
    hub.add(REPO, {FILE: DATA})
    path = user_profiles() / "made.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"name: made\ndrafter: {{path: {get().paths[0]}}}\nexpert: {{path: 'no such/\u00e9'}}\n")
    assert remove_model(SOURCE, "pair").kept_for == ("made",)
    path.unlink()
    assert remove_model(SOURCE, "pair").freed == len(DATA)


def test_remove_keeps_a_blob_that_another_revision_or_repository_is_linked_to(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    first = get().paths[0]
    hub.add(REPO, {FILE: DATA}, commit="4" * 40)
    pinned = Source(hf=REPO, quant="Q4_K_M", revision="4" * 40)
    second = get(pinned, pair="hf:pinned").paths[0]
    assert second != first and second.samefile(first)
    store.remove(first)
    assert not first.exists() and second.read_bytes() == DATA
    shared = tmp_path / "hf/hub/blobs/ab/xethash"  # the store that newer caches share between repositories
    shared.parent.mkdir(parents=True)
    blob = second.resolve()
    blob.rename(shared)
    twin = tmp_path / "hf/hub/models--a--b/blobs" / blob.name
    twin.parent.mkdir(parents=True)
    for link in (blob, twin):
        link.symlink_to(shared)
    store.remove(second)
    assert twin.read_bytes() == DATA and not blob.is_symlink()


def test_remove_clears_a_download_that_was_begun(hub: Hub, tmp_path: Path) -> None:
    begun = part(tmp_path, DATA[:1000], "a" * 64)
    removed = remove_model(SOURCE, "pair")
    assert removed.freed == 1000 and removed.found and not begun.exists()
    assert not remove_model(SOURCE, "pair").found
