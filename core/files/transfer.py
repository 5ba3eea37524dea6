"""One file over HTTP into a part file that survives a kill, checked byte for byte; and the first bytes of one.

huggingface_hub's own download does neither since 1.18: it starts over after a kill and never looks at the hash.
"""

import contextlib
import errno
import hashlib
import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import get_session, hf_raise_for_status

from ..errors import DoesNotFit, IntegrityError, Unavailable
from .listing import RemoteFile
from .local import BLOCK
from .network import proxy_of
from .patience import asked_for, require_short

# huggingface_hub's own HTTP client: its errors come through
_http: Any = importlib.import_module("httpx" if huggingface_hub.__version__.startswith("1.") else "httpx2")
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (_http.HTTPError, _http.StreamError, _http.InvalidURL)

TRIES = 5  # without getting further
PROGRESS = 64 << 10  # bytes that count as getting further; a server that drips is left alone after TRIES
WAIT = 0.5  # seconds before the second try, doubled for each one after it
RETRIED = {408, 429, 500, 502, 503, 504}
FULL = {errno.ENOSPC, errno.EDQUOT}

Tell = Callable[[int], None]


def fetch(url: str, headers: dict[str, str], part: Path, file: RemoteFile, tell: Tell) -> None:
    """Complete `part`, going on where it ends, until it is the whole of `file`. `tell` hears the bytes it has.

    Unavailable: the connection keeps failing (the part stays). IntegrityError: a wrong size or hash (the part is
    deleted). DoesNotFit: the disk is full (the part is deleted). HfHubHTTPError: the server refuses.
    """
    try:
        with part.open("a+b", buffering=0) as out:
            _Transfer(out, file, tell).run(url, headers)
    except (IntegrityError, DoesNotFit):
        part.unlink(missing_ok=True)
        raise


class _Transfer:
    """A part file being completed, and the hash of what it holds."""

    def __init__(self, out: BinaryIO, file: RemoteFile, tell: Tell) -> None:
        self.out, self.file, self.tell = out, file, tell
        self.hash, self.done = hashlib.sha256(), 0
        length = out.seek(0, 2)
        if length > file.bytes:
            self.restart()
            length = 0
        out.seek(0)
        while self.done < length and (block := out.read(min(BLOCK, length - self.done))):
            self.hash.update(block)
            self.done += len(block)
            tell(self.done)

    def restart(self) -> None:
        self.out.truncate(0)
        self.hash, self.done = hashlib.sha256(), 0

    def run(self, url: str, headers: dict[str, str]) -> None:
        left, wait = TRIES, WAIT
        while self.done < self.file.bytes:
            before, reason, asked = self.done, "the connection was closed early", None
            try:
                self.request(url, headers)
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status == 416 and self.done:
                    raise IntegrityError(
                        f"{self.file.path} ends at {self.done:,} bytes on the server, expected {self.file.bytes:,}; "
                        "it was deleted",
                        "pull again; if it stays so, do not use this source",
                    ) from None
                if status not in RETRIED:
                    raise
                reason = f"the server answered {status}"
                asked = asked_for(error.response.headers) if status == 429 else None
                require_short(asked, "authorization" in headers)
            except TRANSPORT_ERRORS as error:
                reason, proxy = str(error) or type(error).__name__, proxy_of(url)
                reason += f" (through the proxy of {proxy})" if proxy else ""
            if self.done >= self.file.bytes:
                break
            if self.done >= before + PROGRESS:
                left, wait = TRIES, WAIT
                continue
            left -= 1
            if not left:
                raise Unavailable(
                    f"{self.file.path}: {reason}, at {self.done:,} of {self.file.bytes:,} bytes",
                    "what came so far is kept: run the same command again to go on",
                )
            time.sleep(wait if asked is None else asked)
            wait *= 2
        found = self.hash.hexdigest()
        if found != self.file.sha256:
            raise IntegrityError(
                f"{self.file.path} is not what the repository says: its SHA-256 is {found}, expected "
                f"{self.file.sha256}; it was deleted",
                "pull again; if it stays wrong, do not use this source",
            )

    def request(self, url: str, headers: dict[str, str]) -> None:
        more = {"Range": f"bytes={self.done}-"} if self.done else {}
        with opened(url, {**headers, **more}) as response:
            if response.status_code == 200 and self.done:  # it ignores ranges
                self.restart()
            total = _total(response, self.done)
            if total is not None and total != self.file.bytes:
                raise IntegrityError(
                    f"{self.file.path} is {total:,} bytes on the server, expected {self.file.bytes:,}; "
                    "nothing of it was kept",
                    "pull again; if it stays wrong, do not use this source",
                )
            for block in response.iter_raw():
                self.write(block)

    def write(self, block: bytes) -> None:
        if self.done + len(block) > self.file.bytes:
            raise IntegrityError(
                f"{self.file.path} is more than the {self.file.bytes:,} bytes it should be; it was deleted",
                "pull again; if it stays wrong, do not use this source",
            )
        view = memoryview(block)
        try:
            while view:  # a raw write may take a part of it
                view = view[self.out.write(view) :]
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise DoesNotFit(
                f"the disk became full at {self.done:,} of {self.file.bytes:,} bytes of {self.file.path}; "
                "they were deleted",
                "free some space, or point HF_HOME at a larger disk",
            ) from None
        self.hash.update(block)
        self.done += len(block)
        self.tell(self.done)


def first_bytes(url: str, headers: dict[str, str], start: int, stop: int) -> bytes:
    """Bytes start to stop of a file; fewer where it ends before, and no more are read even where ranges are ignored."""
    data = bytearray()
    with opened(url, {**headers, "Range": f"bytes={start}-{stop - 1}"}) as response:
        skip = start if response.status_code == 200 else 0
        for block in response.iter_raw(BLOCK):
            data += block
            if len(data) >= skip + stop - start:
                break
    return bytes(data[skip : skip + stop - start])


@contextlib.contextmanager
def opened(url: str, headers: dict[str, str]) -> Iterator[Any]:
    """A streamed GET that raises for a status. The token goes to the first host alone: the client drops it on a
    redirect to another one."""
    with get_session().stream(
        "GET",
        url,
        headers={**headers, "Accept-Encoding": "identity"},
        follow_redirects=True,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
    ) as response:
        hf_raise_for_status(response)
        yield response


def _total(response: Any, done: int) -> int | None:
    """Bytes of the whole file as the response has it, None where it does not say. IntegrityError for another range."""
    if response.status_code != 206:
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() and "Content-Encoding" not in response.headers else None
    span, _, total = response.headers.get("Content-Range", "").partition("/")
    start = span.removeprefix("bytes ").partition("-")[0].strip()
    if start.isdigit() and int(start) != done:
        raise IntegrityError(f"the server sent bytes from {start} where they were asked for from {done}", "pull again")
    return int(total) if total.isdigit() else None
