"""Fixtures of the command line's tests: the real console script in real processes, and model files to give it.

Nothing here knows what a command should say.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from tests.builders.models import FETCHED, QWEN_EXPERT, smollm2
from tests.builders.talk import Start, Talk

PATIENCE = 60  # seconds; only against hanging
SCRIPT = Path(sys.executable).with_name("speccas")
OURS = ("SPECCAS_", "XDG_", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "COLUMNS", "LINES", "TERM", "PYTHON")


@pytest.fixture(autouse=True)
def needed(request: pytest.FixtureRequest) -> None:
    """Skips a test whose models are not on this machine."""
    if request.node.get_closest_marker("tiny") and smollm2() is None:
        pytest.skip("needs the tiny extra")
    if request.node.get_closest_marker("real") and not QWEN_EXPERT.is_file():
        pytest.skip(f"no Qwen pair in {FETCHED}")


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


@pytest.fixture
def home(clean: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    """A clean environment with a state directory of its own."""
    return {**clean, "XDG_STATE_HOME": str(tmp_path / "state"), "PROMPT_TOOLKIT_NO_CPR": "1"}


@pytest.fixture
def start(script: str, home: Mapping[str, str]) -> Iterator[Start]:
    """Starts chats that greet; what is left of them is ended."""
    talks: list[Talk] = []

    def begin(*arguments: str, env: Mapping[str, str] | None = None) -> Talk:
        talks.append(Talk(script, {**home, **(env or {})}, *arguments))
        talks[-1].greeting = talks[-1].ready()
        assert "/help" in talks[-1].greeting
        return talks[-1]

    yield begin
    for talk in talks:
        talk.child.close(force=True)
