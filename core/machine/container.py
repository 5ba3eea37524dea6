"""What the container, or the scope of a service manager, that this process is in may use of the machine.

Control groups, version 2 and 1: a limit of any group above this process holds for it, and the files say little of those
around it, so every one from its own group up is asked.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
V1 = {"memory": ("memory",), "cpu": ("cpu", "cpu,cpuacct")}
"""Folders of version 1 by controller."""


def memory_limits() -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of every group that has a limit. Pages of files that nobody has used lately count as free:
    the kernel gives them up when memory is asked for."""
    for folder in _groups("memory"):
        for limits, used, inactive in (
            (("memory.max", "memory.high"), "memory.current", "inactive_file"),
            (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit = min((found for name in limits if (found := _number(folder / name)) is not None), default=None)
            taken = _number(folder / used)
            if limit is not None and taken is not None:
                yield limit, max(0, taken - _statistic(folder / "memory.stat", inactive))


def cpu_quota() -> float | None:
    """Processors' worth of time that may be used; None where there is no limit."""
    found = []
    for folder in _groups("cpu"):
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            quota, period = map(int, (folder / "cpu.max").read_text().split())
        if quota and period and quota > 0:
            found.append(quota / period)
    return min(found, default=None)


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's groups, from its own up. Inside a container its own may not be there by that name,
    but then the container's limits stand at the root."""
    own = {"": "/"}
    with suppress(OSError, ValueError):
        for line in OWN.read_text(errors="replace").splitlines():
            _, controllers, path = line.split(":", 2)
            own |= dict.fromkeys(controllers.split(","), path)
    versions = [(ROOT, own[""]), *((ROOT / name, own.get(controller, "/")) for name in V1[controller])]
    for root, path in versions:
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:depth])


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _statistic(path: Path, name: str) -> int:
    """A line of memory.stat; 0 where there is none."""
    with suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0
