"""llama.cpp's RPC backend, through the functions that its own registry names; a build may have been made without it."""

import ctypes
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as api

from ...errors import NoRpc, Unavailable
from ..llama import start
from .wire import Version

CPU, GPUS = 0, {1, 2}  # ggml-backend.h: enum ggml_backend_dev_type; an accelerator (BLAS) is no place for weights
TESTED: Version = (7, 0, 0)  # of llama-cpp-python 0.3.36
_P, _S = ctypes.c_void_p, ctypes.c_size_t


def has_rpc() -> bool:
    """Whether this build of llama.cpp has the backend."""
    start()
    return bool(api.llama_supports_rpc())


def require_rpc() -> None:
    """Raises NoRpc."""
    if not has_rpc():
        raise NoRpc("this build of llama.cpp has no RPC, so no model can be on another machine")


@cache
def version() -> Version:
    """Of the protocol, as this build's own header has it; where there is none, that of the version which was tested."""
    with suppress(OSError, StopIteration):
        header = Path(api.__file__).parents[1] / "include/ggml-rpc.h"
        text = header.read_text(encoding="utf-8", errors="replace")
        parts = (re.search(rf"RPC_PROTO_{part}_VERSION\s+(\d+)", text) for part in ("MAJOR", "MINOR", "PATCH"))
        major, minor, patch = (int(found[1]) if found else -1 for found in parts)
        if min(major, minor, patch) >= 0:
            return major, minor, patch
    return TESTED


@cache
def _ggml() -> Any:
    """The library, with the types of what is called here. Raises NoRpc."""
    require_rpc()
    try:
        from llama_cpp._ggml import libggml

        types = {
            "ggml_backend_dev_buffer_type": (_P, [_P]),
            "ggml_backend_dev_by_type": (_P, [ctypes.c_int]),
            "ggml_backend_dev_count": (_S, []),
            "ggml_backend_dev_description": (ctypes.c_char_p, [_P]),
            "ggml_backend_dev_get": (_P, [_S]),
            "ggml_backend_dev_memory": (None, [_P, ctypes.POINTER(_S), ctypes.POINTER(_S)]),
            "ggml_backend_dev_type": (ctypes.c_int, [_P]),
            "ggml_backend_reg_by_name": (_P, [ctypes.c_char_p]),
            "ggml_backend_reg_dev_count": (_S, [_P]),
            "ggml_backend_reg_dev_get": (_P, [_P, _S]),
            "ggml_backend_reg_get_proc_address": (_P, [_P, ctypes.c_char_p]),
        }
        for name, (result, arguments) in types.items():
            function = getattr(libggml, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, AttributeError) as error:  # a private module of the binding
        raise NoRpc(f"this build of llama.cpp shows nothing of its RPC: {error}") from None
    return libggml


def _function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    address = _ggml().ggml_backend_reg_get_proc_address(_ggml().ggml_backend_reg_by_name(b"RPC"), name.encode())
    if not address:
        raise NoRpc(f"this build of llama.cpp has no {name}")
    found: Callable[..., Any] = ctypes.CFUNCTYPE(result, *arguments)(address)
    return found


def devices_of(workers: Sequence[str]) -> list[int]:
    """The devices of these workers. They are for whoever names them: the registry of this process, from which llama.cpp
    takes devices by itself, does not hear of them. Ends the process where a worker does not answer."""
    add, found = _function("ggml_backend_rpc_add_server", _P, ctypes.c_char_p), []
    for address in workers:
        registry = add(address.encode())
        if not registry:
            raise Unavailable(f"the worker at {address} has no device", "start it on a machine that has one")
        found += [
            _ggml().ggml_backend_reg_dev_get(registry, i) for i in range(_ggml().ggml_backend_reg_dev_count(registry))
        ]
    return found


def wait_for(devices: Sequence[int]) -> None:
    """Until workers have computed what they were sent: they answer in order, and llama.cpp waits for none that sends
    nothing back."""
    free, total = _S(), _S()
    for device in devices:
        _ggml().ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))


def own_memory() -> int:
    """The kind of memory of this machine's processor, for tensors that stay here."""
    found: int = _ggml().ggml_backend_dev_buffer_type(_ggml().ggml_backend_dev_by_type(CPU))
    return found


def own_devices() -> list[tuple[int, str, int, int]]:
    """What a worker of this machine offers: its GPUs, or where there is none its processor; each with its name, and
    free and total memory in bytes. Raises NoRpc."""
    ggml = _ggml()
    every = [ggml.ggml_backend_dev_get(i) for i in range(ggml.ggml_backend_dev_count())]
    chosen = [each for each in every if ggml.ggml_backend_dev_type(each) in GPUS]
    found = []
    for each in chosen or [ggml.ggml_backend_dev_by_type(CPU)]:
        free, total = _S(), _S()
        ggml.ggml_backend_dev_memory(each, ctypes.byref(free), ctypes.byref(total))
        name = ggml.ggml_backend_dev_description(each).decode("utf-8", "replace")
        found.append((each, name, free.value, total.value))
    return found


def serve(address: str, threads: int, devices: Sequence[int]) -> None:
    """llama.cpp's own server: serves one client after another, and returns only where it cannot listen. Nobody can stop
    it but by ending the process."""
    function = _function(
        "ggml_backend_rpc_start_server", None, ctypes.c_char_p, ctypes.c_char_p, _S, _S, ctypes.POINTER(_P)
    )
    function(address.encode(), None, threads, len(devices), (_P * len(devices))(*devices))
