"""Compare a built wheel with what git tracks: `python scripts/check_wheel.py dist/speccas-*.whl`.

Every tracked file of core, cli and profiles must be in the wheel, under `speccas/`, and nothing else but its metadata.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "cli", "profiles")


def tracked() -> set[str]:
    """Files of the packages, as they are named in the wheel."""
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z", *PACKAGES]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {f"speccas/{name}" for name in listed.split("\0") if name}


def packaged(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}


def main(wheel: Path) -> int:
    wanted, found = tracked(), packaged(wheel)
    for name in sorted(wanted - found):
        print(f"not in the wheel: {name}", file=sys.stderr)
    for name in sorted(found - wanted):
        print(f"not tracked by git: {name}", file=sys.stderr)
    print(f"{len(found)} files in {wheel.name}")
    return int(wanted != found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
