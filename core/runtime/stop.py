"""A flag that stops a computation from another thread, in Python and inside native code."""

import ctypes
import sys

ABORT_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)  # ggml.h: ggml_abort_callback


class StopFlag:
    """llama.cpp asks `atoi(flag)` before every graph node: a libc function, because a Python callback there cost 30 %
    of a small model's speed."""

    def __init__(self, buffer: "ctypes.Array[ctypes.c_char] | None" = None) -> None:
        """`buffer`: two bytes or more that others may write to as well; else they are its own."""
        self._buffer = ctypes.create_string_buffer(2) if buffer is None else buffer
        self.clear()
        library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
        self.callback = ctypes.cast(library.atoi, ABORT_CALLBACK)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self) -> None:
        self._buffer.value = b"1"

    def clear(self) -> None:
        self._buffer.value = b"0"

    def __bool__(self) -> bool:
        return self._buffer.value == b"1"
