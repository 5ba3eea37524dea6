"""Hidden states of an expert, read from llama.cpp's graph through symbols that stand in no public header.

They are C++ functions of `llama-ext.h`, which promises nothing, so they are looked up by name, once, and where one is
missing heads are refused.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import llama_cpp.llama_cpp as api
import numpy as np

from ..decoding.sampling import Floats
from ..errors import Unavailable

SINCE = "0.3.36"  # of llama-cpp-python, the version that has been tested
MOST_VIEWS = 128
_CTX, _FLOATS = ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)
_Function = Callable[..., Any]

SYMBOLS: dict[str, tuple[str, str, list[Any], Any]] = {
    "hand_out_layer": (
        "_Z30llama_set_embeddings_layer_inpP13llama_contextjb",
        "?llama_set_embeddings_layer_inp@@YAXPEAUllama_context@@I_N@Z",
        [_CTX, ctypes.c_uint32, ctypes.c_bool],
        None,
    ),
    "layer": (
        "_Z30llama_get_embeddings_layer_inpP13llama_contextj",
        "?llama_get_embeddings_layer_inp@@YAPEAMPEAUllama_context@@I@Z",
        [_CTX, ctypes.c_uint32],
        _FLOATS,
    ),
    "hand_out_last": (
        "_Z26llama_set_embeddings_nextnP13llama_contextbb",
        "?llama_set_embeddings_nextn@@YAXPEAUllama_context@@_N1@Z",
        [_CTX, ctypes.c_bool, ctypes.c_bool],
        None,
    ),
    "last": (
        "_Z26llama_get_embeddings_nextnP13llama_context",
        "?llama_get_embeddings_nextn@@YAPEAMPEAUllama_context@@@Z",
        [_CTX],
        _FLOATS,
    ),
    "choose_layer": (
        "_Z28llama_set_nextn_layer_offsetP13llama_contexti",
        "?llama_set_nextn_layer_offset@@YAXPEAUllama_context@@H@Z",
        [_CTX, ctypes.c_int32],
        None,
    ),
}
"""By field of `Symbols`: the name as GCC and Clang mangle it, as MSVC does, and its types."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """The functions, by what they do here."""

    hand_out_layer: _Function
    """(context, layer, on): whether calls hand out the input of a layer."""
    layer: _Function
    """(context, layer): its rows of the last call, one a token."""
    hand_out_last: _Function
    """(context, on, only rows with logits): whether calls hand out the state behind the last layer; of a head, its own
    state."""
    last: _Function
    """(context): its rows of the last call."""
    choose_layer: _Function
    """(context, i): which of several MTP layers calls run."""


@cache
def symbols() -> Symbols:
    """Raises Unavailable where this build of llama.cpp lacks one."""
    library = getattr(api, "_lib", None)
    found: dict[str, _Function] = {}
    for field in fields(Symbols):
        itanium, msvc, arguments, result = SYMBOLS[field.name]
        plain = itanium.lstrip("_Z0123456789").partition("P13llama_context")[0]
        function = next((f for name in (itanium, msvc, plain) if (f := getattr(library, name, None)) is not None), None)
        if function is None:
            raise Unavailable(
                f"this build of llama.cpp has no {plain}, so no head can read an expert's states",
                f"llama-cpp-python {SINCE} has it",
            )
        function.argtypes, function.restype = arguments, result
        found[field.name] = function
    return Symbols(**found)


class Views:
    """Arrays over memory of llama.cpp, each made once: making one takes longer than reading it."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, tuple[int, ...]], Floats] = {}

    def __call__(self, pointer: Any, *shape: int) -> Floats:
        """The array at a pointer that llama.cpp has just given."""
        key = ctypes.addressof(pointer.contents), shape
        if key not in self._made:
            if len(self._made) >= MOST_VIEWS:
                self._made.clear()
            self._made[key] = np.ctypeslib.as_array(pointer, shape=shape)
        return self._made[key]


class HiddenStates:
    """The states that a context hands out: those of several layers side by side, a row for each token."""

    def __init__(self, ctx: Any, model: Any, layers: Sequence[int]) -> None:
        """Turn them on; before the context's first call. The number of the model's layers stands for the state behind
        the last. A graph without such a state ends the process: ask `headers.heads` first."""
        self.ctx = ctx
        self.layers = tuple(layers)
        self.count: int = api.llama_model_n_layer(model)
        self._sizes = [
            int(api.llama_model_n_embd(model) if layer < self.count else api.llama_model_n_embd_out(model))
            for layer in self.layers
        ]
        self.rows: Floats = np.empty((0, self.width), dtype=np.float32)
        """Of the call that is being made: (tokens, width)."""
        self._symbols, self._views = symbols(), Views()
        for layer in self.layers:
            if layer < self.count:
                self._symbols.hand_out_layer(ctx, layer, True)
            else:
                self._symbols.hand_out_last(ctx, True, False)

    @property
    def width(self) -> int:
        """Numbers of one row."""
        return sum(self._sizes)

    def begin(self, tokens: int) -> None:
        """Room for the states of so many tokens."""
        self.rows = np.empty((tokens, self.width), dtype=np.float32)

    def take(self, at: int, tokens: int) -> None:
        """Copy the rows of the last decode, which read so many tokens, to the place of token `at`."""
        first = 0
        for layer, size in zip(self.layers, self._sizes, strict=True):
            inside = layer < self.count
            pointer = self._symbols.layer(self.ctx, layer) if inside else self._symbols.last(self.ctx)
            self.rows[at : at + tokens, first : first + size] = self._views(pointer, tokens, size)
            first += size
