"""Which pairs there are, by name, and in which files. Reads no profile: a completion waits for it."""

import importlib.resources
from pathlib import Path

from platformdirs import user_config_path


def user_profiles() -> Path:
    """Directory of the user's own profiles; one there hides a shipped one of the same name."""
    return user_config_path("speccas") / "pairs"


def profiles() -> dict[str, Path]:
    """Every profile there is, by name."""
    shipped = Path(str(importlib.resources.files("speccas.profiles")))
    found = {path.stem: path for path in sorted(shipped.glob("*.yaml"))}
    if user_profiles().is_dir():
        found |= {path.stem: path for path in sorted(user_profiles().glob("*.yaml"))}
    return dict(sorted(found.items()))
