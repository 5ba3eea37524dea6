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

from .llama import api, fill, log_tail, start  # type: ignore[attr-defined] # it alone imports llama_cpp

ERROR, CONTINUED = 4, 5  # ggml.h: enum ggml_log_level
TENSOR = re.compile(rb"\[\s*(\d+)/\s*(\d+)\]")
"""How llama.cpp's line about a tensor begins."""

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
    failed = api.llama_model_quantize(os.fsencode(source), os.fsencode(target), ctypes.byref(params))
    if failed:
        sys.stderr.write(" | ".join(_said[-2:]) or log_tail() or "no reason given")
    return int(bool(failed))


def _leave_with_parent(target: Path) -> None:
    """Wait for the end of stdin, then end at once: a native call cannot be told to stop."""
    while os.read(0, 1):
        pass
    with contextlib.suppress(OSError):
        target.unlink()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
