"""The backends by the scheme of a source: `scheme:rest` goes to the one of that name, a model with workers to `rpc`,
anything else to `gguf`."""

from collections.abc import Callable

from ..files.source import Source
from .backend import Backend


def _llama() -> Backend:
    from .llama import LlamaBackend

    return LlamaBackend()


def _rpc() -> Backend:
    from .rpc.expert import RpcBackend

    return RpcBackend()


BACKENDS: dict[str, Callable[[], Backend]] = {"gguf": _llama, "rpc": _rpc}
"""To add one: a class that is a `Backend`, and a line here."""


def backend_of(source: Source) -> Backend:
    """What runs the model of this source."""
    scheme = "rpc" if source.rpc else str(source).partition(":")[0]
    return BACKENDS.get(scheme, BACKENDS["gguf"])()
