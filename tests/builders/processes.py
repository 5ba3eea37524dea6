"""What the system says of a process."""

from pathlib import Path


def alive(process: int) -> bool:
    """Whether it runs; a zombie, or nothing, does not. Reads /proc, so Linux only."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
