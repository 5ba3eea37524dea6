"""What a chat on a terminal leaves behind it."""

import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def saved(home: Mapping[str, str]) -> Callable[..., dict[str, Any]]:
    """Reads a saved session, seen only by its owner: the one given, or what the only chat of a test kept by itself."""

    def read(path: Path | None = None) -> dict[str, Any]:
        path = path or next((Path(home["XDG_STATE_HOME"]) / "speccas" / "sessions").glob("*.json"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        assert (document["schema"], document["type"]) == (1, "speccas-session")
        return document

    return read
