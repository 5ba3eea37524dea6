"""A cache without symbolic links, as most people have it on Windows: every file is fetched once and stored once."""

from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download

from speccas.core.files.administration import remove_model, verify
from speccas.core.files.cache import Entry, find, lock_file
from speccas.core.files.hub import keep, look_up, plan, pull
from speccas.core.files.source import Source
from speccas.core.inventory.doctor import cache_facts
from tests.hub_server import Hub

REPO, FILE = "owner/model-GGUF", "sub/model-Q4_K_M.gguf"
SOURCE = Source(hf=REPO, quant="Q4_K_M")
DATA = bytes(range(256)) * 4000


@pytest.fixture
def hub_without_links(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    hub.add(REPO, {FILE: DATA})
    return hub


def get() -> Entry:
    return pull(SOURCE, look_up(SOURCE), "pair", lambda *_: None)


def stored(folder: Path) -> int:
    """Bytes of model files in the cache, links not counted."""
    files = [path for path in (folder / "hf").rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files if path.stat().st_size >= len(DATA) // 2)


def test_a_file_is_fetched_and_stored_once(hub_without_links: Hub, tmp_path: Path) -> None:
    path = get().paths[0]
    assert path.read_bytes() == DATA and not path.is_symlink()
    assert hub_without_links.bytes_served == stored(tmp_path) == cache_facts()[0].bytes == len(DATA)
    assert [job.here for job in plan([look_up(SOURCE)])] == [len(DATA)]
    get()  # again, as --update does
    assert hub_without_links.bytes_served == stored(tmp_path) == len(DATA)


def test_it_is_found_with_and_without_the_lock(hub_without_links: Hub) -> None:
    path = get().paths[0]
    kept = keep(SOURCE, "other")
    assert kept is not None and kept.paths == [path]
    lock_file().unlink()
    found = find(SOURCE)
    assert found is not None and found.paths == [path]
    downloaded = hf_hub_download(REPO, FILE, revision="1" * 40, local_files_only=True, cache_dir=constants.HF_HUB_CACHE)
    assert Path(downloaded) == path


def test_a_damaged_one_is_fetched_again(hub_without_links: Hub, tmp_path: Path) -> None:
    path = get().paths[0]
    path.write_bytes(DATA[:-1] + b"x")
    assert [each.deleted for each in verify(SOURCE, lambda *_: None)] == [True]
    assert get().paths[0].read_bytes() == DATA
    path.write_bytes(DATA[:-1] + b"x")
    assert get().paths[0].read_bytes() == DATA and stored(tmp_path) == len(DATA)


def test_it_is_removed_whole(hub_without_links: Hub, tmp_path: Path) -> None:
    get()
    assert remove_model(SOURCE, "pair").freed == len(DATA)
    assert stored(tmp_path) == 0 and find(SOURCE) is None


def test_a_blob_that_a_link_leads_to_stays_where_it_is(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache had links once; an older snapshot must not lose its file to a newer one."""
    hub.add(REPO, {FILE: DATA})
    old = get().paths[0]
    hub.add(REPO, {FILE: DATA, "README.md": b"new"}, commit="2" * 40)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    new = get().paths[0]
    assert new != old and new.read_bytes() == old.read_bytes() == DATA
    assert hub.bytes_served == len(DATA)
