"""Two hundred damaged model files through `check` and `show`: always one line and the right exit code, and the file is
left as it is."""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.sentencepiece import Made

# Runs the commands on each file in one process, since importing takes longer than they do. Any error but ours ends it.
EACH = """
import contextlib, io, json, sys
from speccas.cli.app import app
from speccas.cli.hints import hint_of
from speccas.core.errors import SpeccasError
good, *files = sys.argv[1:]
for i, file in enumerate(files):
    out, code, told = io.StringIO(), 0, ""
    try:
        with contextlib.redirect_stdout(out):
            app([*(["check", file, good] if i % 3 else ["show", file]), "--json"], standalone_mode=False)
    except SpeccasError as error:
        code, told = error.exit_code, error.message + hint_of(error)
    print(json.dumps([code, told, out.getvalue()]))
"""
CODES = {0, 2, 5, 7}


def damaged(seed: int, whole: bytes) -> bytes:
    """The file, hurt in one of the ways in which files are."""
    draw, data = random.Random(seed), bytearray(whole)
    head = whole.rindex(b".weight")  # of the last tensor
    at = draw.randrange(head) if draw.random() < 0.5 else draw.randrange(1200)  # most keys stand first
    match seed % 8:
        case 0:
            for _ in range(draw.randint(1, 20)):
                data[draw.randrange(at + 1)] = draw.randrange(256)
        case 1:
            del data[at:]
        case 2:
            data[at : at + 8] = struct.pack("<Q", draw.choice([0, 1, 2**31, 2**32, 2**63, 2**64 - 1]))
        case 3:
            del data[at : at + draw.randint(1, 64)]
        case 4:
            data[at:at] = bytes(draw.randint(1, 64))
        case 5:
            data[at : at + 4] = struct.pack("<i", draw.randint(-1, 14))
        case 6:
            data[at : at + 4096] = bytes(4096)
        case _:
            text = draw.choice([b"llama", b"<0x", b"general", b"tokenizer", b"blk.", b"tokens", b"context_length"])
            found = data.find(text)
            data[found : found + len(text)] = bytes(draw.choice(b"\x00\xff\x1b%.a") for _ in text)
    return bytes(data)


@pytest.mark.slow
def test_two_hundred_damaged_headers(tmp_path: Path) -> None:
    good = Made(more={"llama.context_length": 512}).write(tmp_path / "good.gguf")
    whole = good.read_bytes()
    files = {tmp_path / f"{seed:03}.gguf": damaged(seed, whole) for seed in range(200)}
    for path, data in files.items():
        path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", EACH, str(good), *map(str, files)], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    codes = set()
    for line, (path, data) in zip(done.stdout.splitlines(), files.items(), strict=True):
        code, told, printed = json.loads(line)
        codes.add(code)
        assert code in CODES and bool(told) is (code != 0), f"{path.name}: {line}"
        assert "\x1b" not in told + printed and "Error(" not in told, f"{path.name}: {line}"
        if code in (0, 7) and printed:  # a pair that does not fit is a document as well
            assert isinstance(json.loads(printed), dict)
        assert path.read_bytes() == data
    assert codes == CODES - {2}
