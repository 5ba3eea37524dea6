"""Limits of containers and scopes, as the kernel's files have them; the files are ours."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from speccas.core.machine import container
from speccas.core.machine import memory as machine

Write = Callable[..., None]
GB = 1 << 30
CORES = 4
SCOPE = "0::/user.slice/a.scope"
DOCKER = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files of a control group; `of` is what this process is told of its own."""
    monkeypatch.setattr(container, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(container, "OWN", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)), raising=False)

    def files(contents: Mapping[str, object], folder: str = "", of: str = "0::/") -> None:
        (tmp_path / "own").write_text(of + "\n")
        for name, text in contents.items():
            path = tmp_path / "cgroup" / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    return files


def free() -> tuple[int, int]:
    found = machine.memory()
    return found.total, found.available


@pytest.mark.parametrize("own", ["0::/", "rubbish", "", "0::/../../x"])
def test_no_limit_is_no_limit(write: Write, own: str) -> None:
    before = machine.memory().total
    write({"memory.max": "max", "memory.current": 5, "cpu.max": "max 100000"}, of=own)
    assert machine.memory().total == before
    assert machine.usable_cores() == CORES


def test_a_container_of_version_2(write: Write) -> None:
    write({"memory.max": GB, "memory.current": GB // 2})
    assert free() == (GB, GB // 2)


def test_pages_of_files_that_nobody_uses_are_free(write: Write) -> None:
    """What a pull leaves in the page cache must not refuse the pair that was pulled."""
    stat = f"anon {GB // 4}\nfile {GB // 2}\ninactive_file {GB // 2}\nactive_file 0"
    write({"memory.max": GB, "memory.current": 3 * GB // 4, "memory.stat": stat})
    assert free() == (GB, 3 * GB // 4)


def test_a_container_of_version_1(write: Write) -> None:
    stat = f"inactive_file 7\ntotal_inactive_file {GB // 4}"
    files = {"memory.limit_in_bytes": GB, "memory.usage_in_bytes": GB // 2, "memory.stat": stat}
    write(files, "memory/docker/abc", DOCKER)
    assert free() == (GB, 3 * GB // 4)


@pytest.mark.parametrize(("quota", "cores"), [(250_000, 2), (-1, CORES)])
def test_the_quota_of_version_1(write: Write, quota: int, cores: int) -> None:
    write({"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": 100_000}, "cpu,cpuacct/docker/abc", DOCKER)
    assert machine.usable_cores() == cores


@pytest.mark.parametrize("folder", ["user.slice", "user.slice/a.scope", ""])
def test_the_limit_of_a_scope_or_of_what_is_above_it(write: Write, folder: str) -> None:
    write({"memory.max": GB, "memory.current": 0, "cpu.max": "150000 100000"}, folder, SCOPE)
    assert free() == (GB, GB)
    assert machine.usable_cores() == 1


def test_a_limit_that_only_slows_down_counts_as_well(write: Write) -> None:
    write({"memory.max": "max", "memory.high": GB, "memory.current": GB // 2})
    assert free() == (GB, GB // 2)


def test_less_than_one_processor_is_one_thread(write: Write) -> None:
    write({"cpu.max": "20000 100000"})
    assert machine.usable_cores() == 1


def test_a_group_that_is_not_seen_from_inside(write: Write) -> None:
    """Without a namespace of its own a container is told its path on the host, and finds its limits at the root."""
    write({"memory.max": GB, "memory.current": 0}, of="0::/system.slice/docker-abc.scope")
    assert free()[0] == GB
