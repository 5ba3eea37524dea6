"""stdout and stderr of the real script, byte by byte: a terminal, a pipe, one that was closed, left or is full."""

import itertools
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.builders.gguf import model_file
from tests.builders.processes import Written, run_on
from tests.builders.tiers import few_fast

Ends = Callable[..., Written]
ROOT = Path(__file__).parents[2]
TRACE = str(ROOT / "docs" / "cascade.jsonl")
REPLAY = ("replay", TRACE, "--no-live")
COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
FORCED = {
    "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "PY_COLORS": "1",
    "GITHUB_ACTIONS": "true", "COLORTERM": "truecolor", "TERM": "xterm-256color", "JUPYTER_COLUMNS": "20",
    "JUPYTER_LINES": "5", "COLUMNS": "20", "LINES": "5",
}  # fmt: skip


@pytest.fixture(scope="module")
def ends(script: str, clean: Mapping[str, str]) -> Ends:
    """Runs the script with stdout and stderr on what is named; a variable that is None is not set."""

    def run(out: str, err: str, *arguments: str, env: Mapping[str, str | None] | None = None) -> Written:
        merged = {name: value for name, value in {**clean, **(env or {})}.items() if value is not None}
        return run_on(out, err, [script, *arguments], merged)

    return run


READY = "\x1b[?2004h"  # prompt_toolkit asks for bracketed paste when it is ready to read
PROMPT = ("Name three colours.", "-n", "6", "--ignore-eos")


@pytest.fixture(scope="module")
def answer(ends: Ends) -> bytes:
    """What a pipe gets where no variable is set."""
    written = ends("pipe", "pipe", "run", *PROMPT, env={"TERM": None})
    assert written.code == 0 and written.err == b"" and written.out.endswith(b"\n") and len(written.out) > 10
    return written.out


@pytest.mark.tiny
@pytest.mark.parametrize("flags", few_fast([[], ["--view", "rounds"]], 1), ids=str)
def test_a_pipe_gets_the_bytes_of_the_answer_whatever_is_forced(ends: Ends, answer: bytes, flags: list[str]) -> None:
    written = ends("pipe", "pipe", "run", *PROMPT, *flags, env=FORCED)
    assert (written.code, written.out) == (0, answer)


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize(("err", "flags"), [("pipe", []), ("tty", ["-q"])])
def test_chat_gives_a_pipe_the_bytes_of_the_answer(ends: Ends, answer: bytes, err: str, flags: list[str]) -> None:
    written = ends("pipe", err, "chat", "-p", *PROMPT, "--temperature", "0", "--min-p", "0", *flags, env=FORCED)
    assert (written.code, written.out) == (0, answer)


@pytest.mark.slow
@pytest.mark.tiny
def test_a_bar_on_stderr_takes_nothing_from_stdout(ends: Ends) -> None:
    """The prompt is read for more than a second: a bar is drawn on the terminal while the answer goes to the pipe."""
    ask = ("chat", "-q", "-p", "word " * 1500, "-n", "6", "--temperature", "0", "--min-p", "0", "--ignore-eos")
    seen = ends("pipe", "tty", *ask)
    assert b"reading the prompt" in seen.err and b"\x1b[?25l" in seen.err
    assert seen.code == 0 and seen.out == ends("pipe", "pipe", *ask).out != b""
    assert seen.out.strip() not in seen.err


IGNORED = {
    "TTY_COMPATIBLE": "1",
    "TTY_INTERACTIVE": "1",
    "PY_COLORS": "1",
    "COLORTERM": "truecolor",
    "FORCE_COLOR": "0",
}


@pytest.mark.parametrize("env", few_fast([IGNORED, {"TERM": None}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}], 1), ids=str)
def test_text_in_a_pipe_is_plain(ends: Ends, env: dict[str, str | None]) -> None:
    written = ends("pipe", "pipe", *REPLAY, env=env)
    assert (written.code, written.err) == (0, b"")
    assert b"\x1b" not in written.out and b"\r" not in written.out and b"[linked]" in written.out


@pytest.mark.parametrize("live", few_fast([[], ["--no-live"]], 1), ids=str)
def test_colour_may_be_forced_and_nothing_else(ends: Ends, live: list[str]) -> None:
    """Colours tell the statuses then, so there are no marks; nothing is redrawn, nothing stands twice."""
    plain = ends("pipe", "pipe", "replay", TRACE)
    forced = ends("pipe", "pipe", "replay", TRACE, *live, env={"FORCE_COLOR": "1"})
    assert forced.code == 0 and forced.err == b"" and COLOURS.search(forced.out)
    text = COLOURS.sub(b"", forced.out)
    assert b"\x1b" not in text and b"\r" not in text
    assert text.count(b"linked") == plain.out.count(b"linked") > 0


@pytest.mark.parametrize(
    ("env", "coloured"),
    few_fast([({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False), ({"TERM": None}, False),
              ({"TERM": "dumb", "FORCE_COLOR": "1"}, True), ({"TTY_COMPATIBLE": "0"}, False)], 3),
    ids=str,
)  # fmt: skip
def test_what_a_terminal_is_sent(ends: Ends, env: dict[str, str | None], coloured: bool) -> None:
    written = ends("tty", "pipe", "replay", TRACE, "--speed", "1000", env=env)
    assert (written.code, written.err) == (0, b"")
    assert (COLOURS.search(written.out) is not None) is coloured
    if env.get("TERM", "") != "" or not coloured:
        assert b"\x1b" not in COLOURS.sub(b"", written.out)
    assert (b"[linked]" in written.out) is not coloured


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": None}], ids=str)
def test_no_bar_where_nothing_may_be_redrawn(ends: Ends, env: dict[str, str | None]) -> None:
    """A line a file instead."""
    written = ends("pipe", "tty", "verify", "tiny", env=env)
    assert written.code == 0 and b"\x1b" not in written.err
    assert re.fullmatch(rb"([\w.-]+\.gguf: [\d.]+ MB\r\n){2}", written.err)


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize(("out", "err"), [*itertools.product(("tty", "pipe"), repeat=2)])
def test_each_stream_is_asked_by_itself(ends: Ends, out: str, err: str) -> None:
    """The live view where stdout is a terminal; the figures behind it on stderr, dimmed where that is one."""
    written = ends(out, err, "run", *PROMPT)
    assert written.code == 0
    assert (b"\x1b[?25l" in written.out) is (out == "tty")
    assert (b"6 tokens" in written.err) is (out == "tty")
    assert (b"\x1b[2m" in written.err) is (out == err == "tty")
    assert err == "tty" or b"\x1b" not in written.err
    assert err == "tty" or written.err.count(b"\n") <= 1, "a line in a file is not broken"


@pytest.mark.parametrize("columns", ["0", "²"])
def test_a_width_that_is_none(ends: Ends, columns: str) -> None:
    for command in (["rules"], ["list"]):
        written = ends("pipe", "pipe", *command, env={"COLUMNS": columns})
        assert (written.code, written.err) == (0, b"") and len(written.out) > 500


@pytest.mark.slow
def test_a_width_that_is_larger_than_the_terminal_tears_nothing(ends: Ends) -> None:
    """A shell's COLUMNS of another window."""
    true = ends("tty", "pipe", "replay", TRACE, "--no-live")
    assert ends("tty", "pipe", "replay", TRACE, "--no-live", env={"COLUMNS": "300", "LINES": "99"}) == true


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two files that cannot be paired."""
    folder = tmp_path_factory.mktemp("two")
    for name, letters in (("a", "abc"), ("b", "xyz")):
        (folder / f"{name}.gguf").write_bytes(
            model_file(
                general__architecture="llama", llama__block_count=1, llama__embedding_length=8,
                llama__attention__head_count=2, tokenizer__ggml__model="gpt2", tokenizer__ggml__tokens=list(letters),
                tokenizer__ggml__token_type=[1, 1, 1],
            )
        )  # fmt: skip
    return [str(folder / "a.gguf"), str(folder / "b.gguf")]


WRITING = [
    ("list",), ("--help",), ("--version",), ("run", "--help"), (), ("rules",), ("list", "--json"), ("doctor",),
    ("doctor", "--json"), ("show", "tiny"), ("show", "tiny", "--json"), ("check", "tiny"), ("check", "tiny", "--json"),
    ("pull", "tiny"), ("pull", "tiny", "--dry-run"), ("verify", "tiny"), ("tune", "--dry-run"), REPLAY,
    ("replay", TRACE, "--why", "3"), ("help", "chat"),
    ("run", *PROMPT), ("run", *PROMPT, "--json"), ("chat", "-q", "-p", *PROMPT), ("compare", *PROMPT),
    ("compare", *PROMPT, "--json"),
]  # fmt: skip
"""Every command that writes on stdout and needs neither minutes nor a network."""


def told(written: Written, reason: str) -> None:
    """Exit code 1 and a line of ours that says why."""
    lines = written.err.decode().splitlines()
    assert written.code == 1 and lines[-1].startswith("hint: "), written
    assert lines[-2] == f"error: cannot write to stdout: {reason}"
    assert "Traceback" not in written.err.decode() and "Exception ignored" not in written.err.decode()


@pytest.mark.tiny
@pytest.mark.parametrize("command", few_fast([[*each] for each in WRITING], 3), ids=lambda each: " ".join(each[:2]))
def test_a_closed_stdout_is_a_failure(ends: Ends, command: list[str]) -> None:
    told(ends("closed", "pipe", *command), "it is closed")


@pytest.mark.tiny
@pytest.mark.parametrize(
    "command", few_fast([[*each] for each in WRITING[::4] + WRITING[-5:]], 2), ids=lambda each: " ".join(each[:2])
)
def test_a_full_disk_is_a_failure_and_a_reader_that_left_is_none(ends: Ends, command: list[str]) -> None:
    told(ends("full", "pipe", *command), "No space left on device")
    written = ends("left", "pipe", *command)
    assert (written.code, b"error" in written.err) == (0, False)


@pytest.mark.slow
def test_an_error_keeps_its_code_where_stdout_fails_too(ends: Ends, two: list[str]) -> None:
    for out in ("full", "closed", "left"):
        written = ends(out, "pipe", "check", *two, "--json")
        assert written.code == 7 and b"cannot be paired" in written.err, out
        assert (b"cannot write to stdout" in written.err) is (out != "left")


@pytest.mark.tiny
@pytest.mark.parametrize("err", few_fast(["full", "closed", "left"], 1))
def test_stderr_that_cannot_be_written_to(ends: Ends, two: list[str], err: str) -> None:
    """The exit code stays, and so does what goes to stdout."""
    for code, command in ((2, ("rum",)), (2, ("run", "hi", "--rule", "nope")), (7, ("check", *two)), (0, ("verify",))):
        assert ends("pipe", err, *command).code == code
    assert b"\nright " in b"\n" + ends("pipe", err, "verify", "tiny").out


ODD: list[dict[str, str | None]] = [
    {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]  # fmt: skip
KANJI = ("漢字 漢字 漢字 漢", "--raw", "-n", "16")


@pytest.mark.tiny
@pytest.mark.parametrize("env", few_fast(ODD, 1), ids=str)
def test_a_pipe_gets_utf_8_whatever_the_locale(ends: Ends, env: dict[str, str | None]) -> None:
    plain = ends("pipe", "pipe", "run", *KANJI).out
    written = ends("pipe", "pipe", "run", *KANJI, env=env)
    assert (written.code, written.out, written.err) == (0, plain, b"") and not plain.isascii() and b"?" not in plain
    document = json.loads(ends("pipe", "pipe", "run", *KANJI, "--json", env=env).out)
    assert document["arms"][0]["text"] + "\n" == plain.decode()
    assert KANJI[0] in document["manifest"]["command"]


@pytest.mark.slow
@pytest.mark.parametrize("env", ODD, ids=str)
def test_tables_and_messages_lose_no_letter(ends: Ends, env: dict[str, str | None]) -> None:
    assert ends("pipe", "pipe", *REPLAY, env=env).out == ends("pipe", "pipe", *REPLAY).out
    written = ends("pipe", "pipe", "replay", "größe-漢.jsonl", env=env)
    assert written.code == 2 and "größe-漢.jsonl" in written.err.decode()


@pytest.mark.parametrize("encoding", few_fast(["ascii", "latin-1"], 1))
def test_a_terminal_that_lacks_letters_spells_them(ends: Ends, encoding: str) -> None:
    """Our own marks have a look-alike; nothing is a question mark, and no byte of a letter can be a control code."""
    env = {"PYTHONIOENCODING": encoding, "NO_COLOR": "1", "COLUMNS": "80"}
    written = ends("tty", "tty", "replay", TRACE, env=env)
    text = written.out.decode(encoding)
    assert written.code == 0 and "?" not in text and "-- expert ---" in text and "<kept>" in text
    said = ends("tty", "tty", "replay", "größe-漢.jsonl", env=env).err.decode(encoding)
    assert "größe-漢.jsonl" in said.encode("ascii", "backslashreplace").decode("unicode-escape")


@pytest.mark.slow
def test_a_path_is_its_bytes_in_a_pipe(ends: Ends, tmp_path: Path) -> None:
    """`$(speccas pull ..)` names the file, whatever its name holds; a terminal is shown no escape code."""
    folder = tmp_path / os.fsdecode(b"od\xc3\xa9 \x1b[2J\t\xff")
    folder.mkdir()
    target = folder / "x.html"
    for out in ("pipe", "tty"):
        written = ends(out, "pipe", "replay", TRACE, "--export", str(target), "--force")
        assert (written.code, written.err) == (0, b"")
        if out == "pipe":
            assert written.out == os.fsencode(target) + b"\n"
        else:
            assert b"\x1b" not in written.out and "odé ␛[2J".encode() in written.out
    assert target.stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.tiny
def test_a_chat_that_is_written_to_a_file(script: str, clean: Mapping[str, str], tmp_path: Path) -> None:
    """Typed at a terminal: the prompt and what is typed are drawn on stderr, the file gets the answers."""
    import pexpect

    file = tmp_path / "out.txt"
    shell = f"exec {script} chat -q -n 6 --temperature 0 --min-p 0 --ignore-eos > {file}"
    env = {**clean, "XDG_STATE_HOME": str(tmp_path), "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn("/bin/sh", ["-c", shell], env=env, encoding="utf-8", timeout=60, dimensions=(24, 80))
    child.expect_exact(READY)
    child.send("Name three colours.\r")
    until = time.monotonic() + 60
    while not (file.exists() and b"\n" in file.read_bytes()) and time.monotonic() < until:
        time.sleep(0.05)
    child.expect_exact(READY)
    child.send("\x04")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    written = file.read_bytes()
    assert written.endswith(b"\n") and b"\x1b" not in written and b"\r" not in written and b"> " not in written


def test_a_pipe_is_read_as_it_is_written(script: str, clean: Mapping[str, str]) -> None:
    """Help goes through a pager."""
    done = subprocess.run(f"{script} | head -1", shell=True, env=dict(clean), capture_output=True, timeout=60)
    assert done.stdout == b"Usage: speccas [OPTIONS] COMMAND [ARGS]...\n" and done.stderr == b""
