"""The prompt: what was typed, and what stands on stdin beside it. Pipes of ours, and the real script."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from speccas.cli.prompt import read_prompt, read_text
from speccas.core.errors import UsageError

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Ends:
    """A pipe: `stdin` reads what is written to `writer`."""

    def __init__(self) -> None:
        reader, self.writer = os.pipe()
        self.stdin: TextIO = os.fdopen(reader)

    def write(self, data: bytes) -> None:
        os.write(self.writer, data)
        os.close(self.writer)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.stdin.close()


def piped(ends: Ends, monkeypatch: pytest.MonkeyPatch, data: bytes, given: str | None) -> str:
    ends.write(data)
    monkeypatch.setattr(sys, "stdin", ends.stdin)
    return read_prompt(given)


JOINED = {
    "beside": ("Explain:", b"all:\n\tcc x.c\n", "Explain:\n\nall:\n\tcc x.c"),
    "nothing": ("Explain:", b"", "Explain:"),
    "a line break": ("Explain:", b"\n", "Explain:"),
    "a blank prompt": ("", b"text\r\n", "text"),
    "alone": (None, b" text\n\n", " text\n"),
    "a dash": ("-", b"text", "text"),
    "a byte order mark": ("a", b"\xef\xbb\xbfb", "a\n\nb"),
    "letters": ("é", "歪\0".encode(), "é\n\n歪\0"),
}


@pytest.mark.parametrize("case", JOINED)
def test_piped_text_joins_the_prompt(ends: Ends, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    given, data, wanted = JOINED[case]
    assert piped(ends, monkeypatch, data, given) == wanted


REFUSED = {
    "no text": ("hi", b"caf\xe9 ol", "the text on stdin is not UTF-8: byte 0xe9 at offset 3", "iconv -t utf-8"),
    "UTF-16": ("hi", "\ufeffhi".encode("utf-16-le"), "is not UTF-8: byte 0xff at offset 0", "iconv -f utf-16"),
    "a typed byte": ("a\udcff", b"", "the prompt is not UTF-8: byte 0xff at offset 1", "iconv"),
    "empty": ("", b" \n", "the prompt is empty", "give some text"),
    "an empty pipe": ("-", b"", "the prompt is empty", "give some text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_prompt(ends: Ends, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    given, data, told, hint = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        piped(ends, monkeypatch, data, given)
    assert told in caught.value.message and hint in caught.value.hint


def test_too_much(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speccas.cli.prompt.MOST", 100)
    with pytest.raises(UsageError, match="stdin holds more than 0 MiB"):
        piped(ends, monkeypatch, b"x" * 101, "hi")


def test_a_pipe_that_stays_silent_is_told_and_refused(ends: Ends, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"nothing came on stdin in 0\.02 seconds") as caught:
        read_text(ends.stdin, 0.02, 0.01)
    assert "< /dev/null" in caught.value.hint
    assert capsys.readouterr().err.startswith("note: waiting for text on stdin; where nothing is piped in, ")
    ends.write(b"late")
    assert read_text(ends.stdin, 0.02, 0.01) == "late"
    assert capsys.readouterr().err == ""


def test_a_pipe_that_does_not_block(ends: Ends) -> None:
    os.set_blocking(ends.stdin.fileno(), False)
    later = threading.Timer(0.05, ends.write, [b"a" * 5000])
    later.start()
    assert read_text(ends.stdin, None) == "a" * 5000
    later.join()


def test_a_stream_without_a_file_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_text(io.TextIOWrapper(io.BytesIO(b"text\n"))) == "text"
    monkeypatch.setattr(sys, "stdin", None)
    assert read_prompt("hi") == "hi"
    with pytest.raises(UsageError, match="the prompt is missing"):
        read_prompt(None)


def test_a_stream_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "x").open("w") as only_written:
        monkeypatch.setattr(sys, "stdin", only_written)
        with pytest.raises(UsageError, match="stdin cannot be read: Bad file descriptor"):
            read_prompt("hi")


@pytest.mark.tiny
@pytest.mark.parametrize("command", ["run", pytest.param("compare", marks=pytest.mark.slow)])
def test_what_is_piped_in_reaches_the_model(speccas: Run, tmp_path: Path, command: str) -> None:
    done = speccas(command, "Name:", "-n", "1", "-k", "1", "--trace", str(tmp_path / "t"), stdin="a colour\n")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "t").read_text().splitlines()[0])["prompt"] == "Name:\n\na colour"


@pytest.mark.slow
@pytest.mark.tiny
def test_what_is_piped_in_joins_the_turn_of_a_chat(speccas: Run) -> None:
    flags = ("-n", "3", "-k", "2", "--temperature", "0")
    joined = speccas("chat", "-p", "Name a colour.", *flags, stdin="And a number.\n")
    assert joined.stdout and joined.stdout == speccas("chat", "-p", "Name a colour.\n\nAnd a number.", *flags).stdout


@pytest.mark.slow
@pytest.mark.tiny
@pytest.mark.parametrize("stdin", ["<&-", "< /dev/null", "< /dev/zero"])
def test_what_stands_in_the_place_of_stdin(script: str, clean: dict[str, str], stdin: str) -> None:
    """Closed, as in some daemons; nothing, as in cron and with ssh -n; and no end."""
    shell = ["sh", "-c", f"exec {script} run hi -n 2 --ctx 64 {stdin}"]
    done = subprocess.run(shell, capture_output=True, env=clean, text=True, timeout=60)
    if "zero" in stdin:
        assert (done.returncode, done.stdout) == (2, "") and "more than 64 MiB" in done.stderr
    else:
        assert done.returncode == 0 and done.stdout.strip() and done.stderr == ""


def test_files_stand_between_the_prompt_and_the_pipe(
    ends: Ends, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two, none = (tmp_path / name for name in ("one", "two", "none"))
    one.write_bytes(b"\xef\xbb\xbfone\r\n")
    two.write_text(" two\n\n")
    none.write_text("\n")
    ends.write(b"piped\n")
    monkeypatch.setattr(sys, "stdin", ends.stdin)
    assert read_prompt("Explain:", [one, none, two]) == "Explain:\n\none\n\n two\n\n\npiped"
    monkeypatch.setattr(sys, "stdin", None)
    assert read_prompt(None, [one]) == "one"
    with pytest.raises(UsageError, match="the prompt is empty"):
        read_prompt(None, [none])


def test_a_file_that_cannot_be_the_prompt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    latin, long = tmp_path / "latin", tmp_path / "long"
    latin.write_bytes(b"caf\xe9")
    long.write_bytes(b"x" * 101)
    monkeypatch.setattr("speccas.cli.prompt.MOST", 100)
    for path, told in {
        latin: "latin is not UTF-8: byte 0xe9 at offset 3", long: "long holds more than 0 MiB",
        tmp_path: "cannot be read: is a directory", tmp_path / "no": "no cannot be read: no such file or directory",
        Path("-"): "- cannot be read", Path("a\0b"): "is no name of a file", Path("x" * 300): "file name too long",
    }.items():  # fmt: skip
        with pytest.raises(UsageError, match=told):
            read_prompt("hi", [path])


@pytest.mark.tiny
@pytest.mark.slow
def test_files_through_the_command_line(speccas: Run, tmp_path: Path) -> None:
    """`run`, `compare` and `chat` take them; the text of the system file is the system message."""
    list_, how = tmp_path / "list.txt", tmp_path / "how.txt"
    list_.write_text("red\nblue\n")
    how.write_text("Answer in one word.\n")
    few = ("-n", "3", "-k", "2", "--temperature", "0", "--min-p", "0")

    def text(*words: str, stdin: str = "") -> str:
        done = speccas(*words, *few, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    wanted = text("run", "Sort:\n\nred\nblue\n\ngreen", "--system", "Answer in one word.")
    assert text("run", "Sort:", "-f", str(list_), "--system-file", str(how), stdin="green") == wanted
    assert text("chat", "-q", "-p", "Sort:", "-f", str(list_), "--system-file", str(how), stdin="green") == wanted
    both = ("--rule", "exact", "--json", "--file", str(list_), "-f", str(list_))
    assert json.loads(text("compare", *both))["arms"][0]["tokens"] == 3
    for words, told in {
        ("--system", "a", "--system-file", str(how)): "--system and --system-file give two system messages",
        ("--system-file", str(tmp_path / "none")): "none cannot be read: no such file or directory",
        ("--system-file", os.devnull): "/dev/null is empty",
        ("-f", str(tmp_path)): "cannot be read: is a directory",
    }.items():
        done = speccas("run", "Hello", *words)
        assert (done.returncode, done.stdout) == (2, "") and told in done.stderr, words
