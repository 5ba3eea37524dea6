"""Addresses of workers, which hold the layers of an expert, as they are typed or written in a profile."""

import re

from ..errors import UsageError

PORT = 50052
"""Where a worker listens, unless told otherwise; as llama.cpp's own does."""
MOST = 16  # ggml-rpc.h: GGML_RPC_MAX_SERVERS
ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
"""llama.cpp takes names and IPv4 only."""


def addresses(text: str) -> tuple[str, ...]:
    """HOST[:PORT][,HOST[:PORT]], each with its port. Raises UsageError."""
    found = tuple(_address(each.strip()) for each in text.split(","))
    for address in found:
        if found.count(address) > 1:
            raise UsageError(f"the worker {address} is named twice", "a worker serves one client at a time")
    if len(found) > MOST:
        raise UsageError(f"{len(found)} workers are too many", f"llama.cpp takes {MOST}")
    return found


def _address(text: str) -> str:
    found = ADDRESS.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise UsageError(f"{text!r} is no address of a worker", f"write HOST:PORT, such as 127.0.0.1:{PORT}")
    return f"{found['host']}:{port}"
