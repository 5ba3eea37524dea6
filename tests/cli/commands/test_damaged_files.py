"""Two hundred damaged model files through `check` and `show`: always one line and the right exit code, and the file is
left as it is."""

import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from speccas.core.headers.gguf import read_header
from tests.builders.models import TINY

# Runs the command on each file of a folder in a process of its own, without importing everything again.
EACH = """
import os, sys
from speccas.cli.app import main
import speccas.core.inventory.check, speccas.core.inventory.details
good, *files = sys.argv[1:]
for i, file in enumerate(files):
    child = os.fork()
    if not child:
        out = os.open(file + ".said", os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["speccas", *(["check", file, good] if i % 3 else ["show", file]), "--json"]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
CODES = {0, 2, 5, 7}


def damaged(seed: int, whole: bytes) -> bytes:
    """The file, hurt in one of the ways in which files are."""
    draw, data = random.Random(seed), bytearray(whole)
    head = read_header(TINY).data_offset
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
            text = draw.choice([b"llama", b"gpt2", b"general", b"tokenizer", b"blk.", b"tokens", b"context_length"])
            found = data.find(text)
            data[found : found + len(text)] = bytes(draw.choice(b"\x00\xff\x1b%.a") for _ in text)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_hundred_damaged_headers(tmp_path: Path) -> None:
    whole = TINY.read_bytes()
    files = {tmp_path / f"{seed:03}.gguf": damaged(seed, whole) for seed in range(200)}
    for path, data in files.items():
        path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", EACH, str(TINY), *map(str, files)], capture_output=True, text=True, timeout=250
    )
    codes = list(map(int, done.stdout.split()))
    assert len(codes) == len(files), done.stderr
    for code, (path, data) in zip(codes, files.items(), strict=True):
        said = Path(f"{path}.said").read_text()
        assert code in CODES, f"{path.name}: {code}\n{said}"
        assert "Traceback" not in said and "\x1b" not in said, f"{path.name}\n{said}"
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == (code != 0), f"{path.name}\n{said}"
        assert path.read_bytes() == data
    assert set(codes) == CODES - {2}
