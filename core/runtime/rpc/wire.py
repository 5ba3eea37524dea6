"""A worker, tried before weights travel: the beginning of llama.cpp's RPC protocol, by hand.

llama.cpp ends its process where a worker does not answer as it should, so nothing is left to it that can be known
before. A worker serves one client at a time: another one is connected, and hears nothing until the first has gone.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import NoWorker, Unavailable

PATIENCE = 3.0  # seconds for each answer
PINGS = 8

HELLO, DEVICE_COUNT, DEVICE_MEMORY = 14, 15, 11  # ggml-rpc.cpp: enum rpc_cmd; that of HELLO is promised to stay
CAPABILITIES = 24  # bytes, ours all zero: plain TCP

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """A worker that answered: its protocol, its devices' memory in bytes, and the seconds of a round trip."""

    address: str
    version: Version
    free: int
    total: int
    devices: int
    trip: float


def written(version: Version) -> str:
    return ".".join(map(str, version))


def find_workers(workers: Sequence[str], ours: Version) -> tuple[WorkerFacts, ...]:
    """Try each. Raises NoWorker (nothing listens), or Unavailable: no worker, a version that this build does not
    speak, or busy."""
    return tuple(find_worker(address, ours) for address in workers)


def find_worker(address: str, ours: Version, pings: int = PINGS) -> WorkerFacts:
    """Try one; raises as `find_workers`."""
    with contextlib.closing(_connected(address)) as link:
        version = _greet(link, address)
        require_spoken(address, version, ours)
        trips = []
        with _answering(address):
            for _ in range(max(1, pings)):
                began = time.perf_counter()
                (count,) = _ask(link, DEVICE_COUNT, b"", "<I")
                trips.append(time.perf_counter() - began)
            memory = [_ask(link, DEVICE_MEMORY, struct.pack("<I", device), "<QQ") for device in range(count)]
    if not count:
        raise Unavailable(f"the worker at {address} has no device", "start it on a machine that has one")
    free, total = (sum(each) for each in zip(*memory, strict=True))
    return WorkerFacts(address, version, free, total, count, min(trips))


def listens(address: str) -> bool:
    """Whether anything does, there."""
    try:
        _connected(address).close()
    except Unavailable:
        return False
    return True


def require_spoken(address: str, version: Version, ours: Version) -> None:
    """Raises Unavailable where llama.cpp would refuse: another major version, or a newer minor one."""
    if version[0] != ours[0] or version[1] > ours[1]:
        raise Unavailable(
            f"the worker at {address} speaks version {written(version)} of llama.cpp's RPC, and this build speaks "
            f"{written(ours)}",
            "have the same llama-cpp-python on both machines",
        )


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    try:
        link = socket.create_connection((host, int(port)), PATIENCE)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that is too long for a name
        reason = "it does not answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise NoWorker(f"no worker at {address}: {str(reason).lower()}", address=address) from None
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.settimeout(PATIENCE)
    return link


def _greet(link: socket.socket, address: str) -> Version:
    """Its version. Raises Unavailable where it is busy, or is no worker."""
    try:
        major, minor, patch, *_ = _ask(link, HELLO, bytes(CAPABILITIES), f"<4B{CAPABILITIES}x")
    except TimeoutError:
        raise Unavailable(
            f"the worker at {address} is busy: it serves one client at a time",
            "end what uses it, or start another one on another port",
        ) from None
    except (OSError, ValueError):
        raise Unavailable(
            f"what listens at {address} is no worker of llama.cpp's RPC, or one of a version that this build does not "
            "speak",
            "check the port, and have the same llama-cpp-python on both machines",
        ) from None
    return major, minor, patch


@contextlib.contextmanager
def _answering(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise Unavailable(f"the worker at {address} greeted, and then said nothing: {error}", "start it anew") from None


def _ask(link: socket.socket, command: int, body: bytes, answer: str) -> tuple[int, ...]:
    """One request: a byte, the length of what follows in eight, and that; the answer without the byte. Raises OSError,
    and ValueError where the answer is another one."""
    link.sendall(struct.pack("<BQ", command, len(body)) + body)
    (length,) = struct.unpack("<Q", _read(link, 8))
    if length != struct.calcsize(answer):
        raise ValueError(f"an answer of {length} bytes")
    return struct.unpack(answer, _read(link, length))


def _read(link: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = link.recv(length - len(data))
        if not more:
            raise ConnectionError("the connection was closed")
        data += more
    return data
