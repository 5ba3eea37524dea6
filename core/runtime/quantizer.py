"""llama.cpp's own quantiser in a process of its own: `python -m speccas.core.runtime.quantizer SOURCE TARGET FTYPE TYPE
THREADS`. What it refuses or damages ends this process, not the one that asked.

Writes a line "DONE TOTAL" on stdout for each tensor that it comes to, and on stderr, where it fails, what llama.cpp
said. Goes, and takes the unfinished target along, when its stdin ends: the process that asked is gone.
"""

import contextlib
import ctypes
import os
import re
import signal
import sys
import threading
from pathlib import Path

from ..headers.gguf import Header, read_header
from .llama import api, fill, log_tail, start  # type: ignore[attr-defined] # it alone imports llama_cpp

ERROR, CONTINUED = 4, 5  # ggml.h: enum ggml_log_level
TENSOR = re.compile(rb"\[\s*(\d+)/\s*(\d+)\]")
"""How llama.cpp's line about a tensor begins."""

SEARCHED = {"2"}
"""ggml.h: enum ggml_type, of kinds whose scales llama.cpp searches for only where it is told what each weight matters;
else it takes a block's largest weight for its scale. Of Qwen2.5-Coder-1.5B as Q4_0 that halves the loss."""

_said: list[str] = []
"""Its errors, in its own words."""


@api.llama_log_callback  # type: ignore[untyped-decorator]
def _hear(level: int, text: bytes, _data: object) -> None:
    if found := TENSOR.match(text):
        os.write(1, b"%s %s\n" % (found[1], found[2]))
    elif level == ERROR:
        _said.append(text.decode("utf-8", "replace").strip())


def main(source: str, target: str, ftype: str, kind: str, threads: str) -> int:
    """0, or 1 with a line on stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group; who asked decides
    threading.Thread(target=_leave_with_parent, args=(Path(target),), daemon=True).start()
    start()
    api.llama_log_set(_hear, ctypes.c_void_p(0))
    params = fill(
        api.llama_model_quantize_default_params(),
        ftype=int(ftype),
        nthread=int(threads),
        output_tensor_type=int(kind),
        token_embedding_type=int(kind),
        allow_requantize=True,
        pure=True,
    )
    if kind in SEARCHED:
        params.imatrix = _alike(read_header(Path(source)))
    failed = api.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if failed:
        sys.stderr.write(" | ".join(_said[-2:]) or log_tail() or "no reason given")
    return int(bool(failed))


def _alike(header: Header) -> object:
    """An importance matrix in which every weight matters as much: an entry for each matrix, the last one empty."""
    found = [tensor for tensor in header.tensors if len(tensor.shape) == 2]
    entries = (api.llama_model_imatrix_data * (len(found) + 1))()
    longest = max((tensor.shape[0] for tensor in found), default=0)
    ones = (ctypes.c_float * longest)(*[1.0] * longest)
    for entry, tensor in zip(entries, found, strict=False):
        fill(entry, name=tensor.name.encode(), data=ones, size=tensor.shape[0])
    return entries


def _leave_with_parent(target: Path) -> None:
    """Wait for the end of stdin, then end at once: a native call cannot be told to stop."""
    while os.read(0, 1):
        pass
    with contextlib.suppress(OSError):
        target.unlink()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
