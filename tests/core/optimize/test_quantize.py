"""Files made by llama.cpp's quantiser in a child: whole or not at all, whatever happens meanwhile."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from speccas.core.errors import CannotPair, DiskFull, IntegrityError, NativeError, SpeccasError, Stopped, UsageError
from speccas.core.headers.gguf import Header, Tensor, read_header
from speccas.core.headers.write import Stored, pieces, values_of, write_gguf
from speccas.core.optimize import quantize as module
from speccas.core.optimize.candidates import CANDIDATES, FileCandidate, is_matrix, quantised_bytes
from speccas.core.optimize.quantize import quantize
from speccas.core.runtime import quantizer
from speccas.core.runtime.stop import StopFlag
from tests.builders import random_models
from tests.builders.loaded import llama_model, row
from tests.builders.models import TINY, smollm2
from tests.builders.random_models import random_model

Q4_0 = CANDIDATES["Q4_0"]


def made(source: Path, target: Path, candidate: FileCandidate = Q4_0, stop: StopFlag | None = None) -> list[int]:
    """What was told of the tensors."""
    told: list[int] = []
    totals: set[int] = set()

    def tell(done: int, total: int) -> None:
        told.append(done)
        totals.add(total)

    quantize(source, target, candidate, threads=1, tell=tell, stop=stop or StopFlag())
    assert totals == {len(read_header(source).tensors)}
    return told


def weights_of(path: Path, tensor: Tensor) -> np.ndarray:
    """Of a tensor in F32, F16 or Q4_0 (ggml-common.h: block_q4_0)."""
    data = bytes_of(path, read_header(path), tensor)
    if tensor.type in (0, 1):
        return np.frombuffer(data, (np.float32, np.float16)[tensor.type]).astype(np.float32)
    blocks = np.frombuffer(data, np.dtype([("scale", np.float16), ("nibbles", np.uint8, 16)]))
    values = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32) - 8
    return (values * blocks["scale"].astype(np.float32)[:, None]).ravel()


def plainly(weights: np.ndarray) -> np.ndarray:
    """As Q4_0 rounds where its scales are not searched for: the largest of a block becomes -8."""
    rows = weights.reshape(-1, 32)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    scale = (largest / -8).astype(np.float16).astype(np.float32)
    return (np.clip(np.floor(rows / scale + 8.5), 0, 15) - 8).ravel() * np.repeat(scale, 32)


def test_the_scales_of_q4_0_are_searched_for(small: Path, tmp_path: Path) -> None:
    """The mean square error of every matrix is clearly less than by plain rounding."""
    made(small, tmp_path / "target.gguf")
    after = {tensor.name: tensor for tensor in read_header(tmp_path / "target.gguf").tensors}
    for tensor in filter(is_matrix, read_header(small).tensors):
        before = weights_of(small, tensor)
        rounded = weights_of(tmp_path / "target.gguf", after[tensor.name])
        assert np.square(rounded - before).mean() < 0.95 * np.square(plainly(before) - before).mean(), tensor.name


def bytes_of(path: Path, header: Header, tensor: Tensor) -> bytes:
    return b"".join(pieces(path, header, tensor))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return random_model(tmp_path / "source.gguf", "plain")


def only(folder: Path, *names: str) -> None:
    """There is nothing else in a folder."""
    assert sorted(each.name for each in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("name", CANDIDATES)
def test_every_matrix_is_of_the_kind_and_the_rest_is_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_models, "WIDTH", 256)
    monkeypatch.setattr(random_models, "FEED", 512)
    source = random_model(tmp_path / "source.gguf", "plain")
    target = tmp_path / "target.gguf"
    told = made(source, target, CANDIDATES[name])
    before, after = read_header(source), read_header(target)
    assert told == list(range(1, len(before.tensors) + 1))
    old = {tensor.name: tensor for tensor in before.tensors}
    assert {tensor.name for tensor in after.tensors} == set(old)
    for tensor in after.tensors:
        if is_matrix(tensor):
            assert tensor.type == CANDIDATES[name].type, tensor.name
        else:
            assert bytes_of(target, after, tensor) == bytes_of(source, before, old[tensor.name])
    changed = {"general.file_type", "general.quantization_version"}
    assert {k: v for k, v in after.metadata.items() if k not in changed} == dict(before.metadata)
    assert abs(after.file_bytes - quantised_bytes(before, CANDIDATES[name])) < 4096
    model = llama_model(target, context=32)
    assert len(row(model, [1, 2, 3])) == len(row(llama_model(source, context=32), [1, 2, 3]))
    only(tmp_path, "source.gguf", "target.gguf")


def test_what_is_of_the_kind_already_is_copied(small: Path, tmp_path: Path) -> None:
    """Half of the source is Q4_0 bytes that nobody could make of its other half."""
    whole = tmp_path / "whole.gguf"
    made(small, whole)
    plain, packed = read_header(small), read_header(whole)
    theirs = {tensor.name: tensor for tensor in packed.tensors}
    copied = ("token_embd.weight", "blk.1.ffn_up.weight")
    noise: dict[str, bytes] = {}
    stored = []
    for tensor in plain.tensors:
        where, header, each = (whole, packed, theirs[tensor.name]) if tensor.name in copied else (small, plain, tensor)
        data = bytes_of(where, header, each)
        if tensor.name in copied:  # nibbles of another order: no quantiser gives these
            blocks = [data[at : at + 2] + data[at + 2 : at + 18][::-1] for at in range(0, len(data), 18)]
            data = noise[tensor.name] = b"".join(blocks)
        stored.append(Stored(each.name, each.shape, each.type, len(data), lambda data=data: [data]))  # type: ignore[misc]
    mixed, target = tmp_path / "mixed.gguf", tmp_path / "again.gguf"
    write_gguf(mixed, values_of(small, plain), stored)
    made(mixed, target)
    after = read_header(target)
    found = {tensor.name: bytes_of(target, after, tensor) for tensor in after.tensors}
    for name in copied:
        assert found[name] == noise[name]
    assert found["output.weight"] == bytes_of(whole, packed, theirs["output.weight"])


@pytest.mark.slow
def test_the_tiny_pair_expert(tmp_path: Path) -> None:
    source = smollm2()
    if source is None:
        pytest.skip("needs the tiny extra")
    target = tmp_path / "expert.gguf"
    made(source, target)
    after = read_header(target)
    assert after.file_type == "Q4_0" and after.file_bytes < 0.8 * source.stat().st_size
    assert {tensor.type_name for tensor in after.tensors if is_matrix(tensor)} == {"Q4_0"}


def damaged_values(small: Path, path: Path) -> Path:
    """A sound header over numbers that are none."""
    header = read_header(small)
    norm = next(tensor for tensor in header.tensors if tensor.name == "output_norm.weight")
    data = bytearray(small.read_bytes())
    data[norm.offset : norm.offset + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    return path


def cut(small: Path, path: Path) -> Path:
    path.write_bytes(small.read_bytes()[:-1000])
    return path


def renamed(small: Path, path: Path) -> Path:
    """An architecture that nobody has."""
    path.write_bytes(small.read_bytes().replace(b"llama", b"nosuc"))
    return path


def mixture(small: Path, path: Path) -> Path:
    header = read_header(small)
    values = values_of(small, header)
    stored = [
        Stored(t.name, t.shape, t.type, t.bytes or 0, lambda t=t: pieces(small, header, t))  # type: ignore[misc]
        for t in header.tensors
    ]
    write_gguf(path, {**values, "llama.expert_count": values["llama.block_count"]}, stored)
    return path


def recurrent(small: Path, path: Path) -> Path:
    return random_model(path, "recurrent")


def text(small: Path, path: Path) -> Path:
    path.write_text("<html>")
    return path


def nothing(small: Path, path: Path) -> Path:
    return path


REFUSED: dict[str, tuple[Callable[[Path, Path], Path], type[SpeccasError], str]] = {
    "numbers that are none": (damaged_values, IntegrityError, "is damaged: .*invalid data"),
    "cut short": (cut, IntegrityError, "bytes"),
    "a web page": (text, IntegrityError, "not a GGUF file"),
    "no file": (nothing, UsageError, "no such file"),
    "an unknown architecture": (
        renamed,
        NativeError,
        "cannot quantise bad.gguf: .*unknown model architecture: 'nosuc'",
    ),
    "a mixture of experts": (mixture, CannotPair, "mixture of 2 experts"),
    "rows of odd length": (recurrent, UsageError, "not made into Q4_0: the rows of .* no multiple of 32"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str, small: Path, tmp_path: Path) -> None:
    make, error, says = REFUSED[case]
    source = make(small, tmp_path / "bad.gguf")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=says) as refused:
        made(source, tmp_path / "target.gguf")
    assert "\n" not in refused.value.message and len(refused.value.message) < 700
    assert sorted(tmp_path.iterdir()) == before


def test_of_its_own_kind_there_is_nothing_to_make(small: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.gguf", tmp_path / "twice.gguf"
    made(small, once)
    with pytest.raises(UsageError, match="already best"):
        made(once, twice)
    assert not twice.exists()


def test_a_disk_that_is_full_is_told_before_anything_is_written(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need = quantised_bytes(read_header(small), Q4_0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=need - 1))
    with pytest.raises(DiskFull, match=r"target\.gguf needs 0\.00 GB in .*, and 0\.00 GB are free") as full:
        made(small, tmp_path / "target.gguf")
    assert full.value.exit_code == 6
    only(tmp_path, "source.gguf")


def test_a_disk_that_is_filled_meanwhile(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = "raise SystemExit('llama_model_quantize: failed to quantize: basic_ios::clear: iostream error')"
    monkeypatch.setattr(module, "CHILD", (sys.executable, "-c", program))
    with pytest.raises(DiskFull, match=r"target\.gguf could not be written: most likely the disk was full"):
        made(small, tmp_path / "target.gguf")
    only(tmp_path, "source.gguf")


def test_a_folder_that_cannot_be_written(small: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        closed = tmp_path / "source.gguf"  # root writes anywhere, but not into a file
    with pytest.raises(UsageError, match=r"cannot write .*target\.gguf: "):
        made(small, closed / "target.gguf")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (
            "import os, sys; sys.stderr.write('ggml.c:1: it broke\\n'); sys.stderr.flush(); os.abort()",
            "SIGABRT .*broke",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL .*lack of memory"),
        ("raise SystemExit(3)", "cannot quantise source.gguf: no reason given"),
    ],
    ids=["crashed", "killed", "silent"],
)
def test_a_child_that_ends_badly(
    program: str, says: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHILD", (sys.executable, "-c", program))
    with pytest.raises(NativeError, match=says):
        made(small, tmp_path / "target.gguf")
    only(tmp_path, "source.gguf")


def test_an_old_target_stands_until_the_new_one_is_whole(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.gguf"
    target.write_text("old")
    stop = StopFlag()
    stop.set()
    with pytest.raises(Stopped):
        made(small, target, stop=stop)
    assert target.read_text() == "old"
    made(small, target)
    assert read_header(target).file_type == "Q4_0"


PROGRAM = """
import signal, sys
from pathlib import Path
from speccas.core.optimize.candidates import CANDIDATES
from speccas.core.optimize.quantize import quantize
from speccas.core.runtime.stop import StopFlag
tell = lambda done, total: print(done, total, flush=True)
quantize(Path(sys.argv[1]), Path(sys.argv[2]), CANDIDATES["IQ4_NL"], threads=1, tell=tell, stop=StopFlag())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_what_is_cut_off_leaves_no_file(number: int, tmp_path: Path) -> None:
    """Also where who asked is killed and cannot tidy up: the child sees it, and does."""
    source = smollm2() or TINY
    command = [sys.executable, "-c", PROGRAM, str(source), str(tmp_path / "target.gguf")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None and child.stdout.readline()
        assert [each.suffix for each in tmp_path.iterdir()] == [".part"]
        child.send_signal(number)
        child.wait(60)
    for _ in range(600):
        if not list(tmp_path.iterdir()):
            break
        time.sleep(0.1)
    only(tmp_path)


def test_a_stop_ends_it(small: Path, tmp_path: Path) -> None:
    stop = StopFlag()
    with contextlib.suppress(Stopped):
        quantize(small, tmp_path / "t.gguf", Q4_0, threads=1, tell=lambda done, total: stop.set(), stop=stop)
        pytest.fail("it was not stopped")
    only(tmp_path, "source.gguf")


def test_a_line_about_a_tensor_says_how_far_it_is() -> None:
    """As llama.cpp writes it; without it there would be no progress, and no error."""
    found = quantizer.TENSOR.match(
        b"[  12/ 339]  blk.0.attn_k.weight - [ 1536, 256, 1, 1], type = q4_K, converting to q4_0 .. "
    )
    assert found is not None and found.groups() == (b"12", b"339")
    assert quantizer.TENSOR.match(b"llama_model_quantize_impl: model size = 1059.89 MB") is None
