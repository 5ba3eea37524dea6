"""One connection to an expert's server: JSON there and back, kept alive, with a key, time-outs and retries.

A request is sent again only where nothing of an answer was seen: the server was busy (429), failed (5xx), or the
connection broke. A verification of given ids says the same each time. A request that draws is sent again too: what it
drew the first time was lost unseen, so that other tokens are drawn in its place cannot prefer any. What was answered
and is wrong is never asked for again: whether it is wrong might depend on what was drawn.

No redirect is followed: a key goes to the address that was given, and nowhere else.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from ...errors import AccessRefused, ExpertLost, RequestRefused, Stopped, UsageError, WrongAnswer
from ...files.network import silence
from ..stop import StopFlag

KEY = "SPECCAS_EXPERT_KEY"
CONNECT, ANSWER = 10.0, 120.0  # seconds; a server may read a long prompt first, behind those of others
PAUSES = (0.25, 0.5, 1.0, 2.0)  # seconds before a request is sent again
LONGEST_PAUSE = 10.0  # that a server may ask for
AGAIN = frozenset({429, 500, 502, 503, 504})
TICK = 0.02  # seconds between two looks at the stop flag
MOST = 64 << 20  # bytes of an answer
SHOWN = 200  # characters of a server's own words
HOME = {"localhost", "127.0.0.1", "::1"}

Found = TypeVar("Found")


def checked_url(url: str) -> str:
    """The address of a server, without a slash at its end. Raises UsageError."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        raise UsageError(f"{url!r} is no address of a server", "write http://HOST:PORT or https://HOST")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the address of the expert's server holds a name or a key", f"put the key into {KEY}")
    if parts.query or parts.fragment:
        raise UsageError(f"{url!r} is more than the address of a server", "leave out what stands behind ? and #")
    return url.rstrip("/").removesuffix("/v1")


def key_of(environment: Mapping[str, str]) -> str:
    """The key that goes along, "" for none. Raises UsageError, without it, where it can be none."""
    key = environment.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(f"{KEY} is no key: it holds a blank or a character that is not ASCII")
    return key


def key_of_environment() -> str:
    """The key that goes along. Raises UsageError as `key_of`."""
    return key_of(os.environ)


def in_the_clear(url: str) -> bool:
    """Whether a key would go over a network unencrypted."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in HOME


class Connection:
    """Asks one server. Ctrl-C, which sets the flag, ends a wait at once; what was asked is left to its end."""

    def __init__(
        self,
        url: str,
        stop: StopFlag,
        key: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`key` None: that of the environment. `transport`: what carries requests, where it is not the network."""
        self.url = checked_url(url)
        self.stop = stop
        self._key = key_of_environment() if key is None else key
        self._transport = transport
        self._sleep = sleep
        self._client = self._open()

    def _open(self) -> httpx.Client:
        headers = {"Accept": "application/json", **({"Authorization": f"Bearer {self._key}"} if self._key else {})}
        return httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(ANSWER, connect=CONNECT),
            follow_redirects=False,
            transport=self._transport,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, patient: bool = True) -> Any:
        """What stands at a path. Raises as `post`."""
        return self._ask("GET", path, None, patient)

    def post(self, path: str, body: Mapping[str, Any], patient: bool = True) -> Any:
        """The answer to a body. `patient`: sent again where that helps. Raises ExpertLost, AccessRefused, Stopped."""
        return self._ask("POST", path, json.dumps(body).encode(), patient)

    def _ask(self, method: str, path: str, body: bytes | None, patient: bool) -> Any:
        pauses = list(PAUSES) if patient else []
        while True:
            try:
                status, headers, data = self._wait(lambda client: send(client, method, self.url + path, body))
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if not pauses or isinstance(error, httpx.ReadTimeout) or untrusted(error):
                    raise self._lost(error) from None
                self._pause(pauses.pop(0))
                continue
            if status not in AGAIN or not pauses:
                return self._read(path, status, headers, data)
            self._pause(max(pauses.pop(0), asked_pause(headers)))

    def _wait(self, work: Callable[[httpx.Client], Found]) -> Found:
        """Do the work in a thread, and look at the flag meanwhile: a signal does not end a read."""
        if self.stop:
            raise Stopped("stopped")
        client, done, found = self._client, threading.Event(), list[Found | BaseException]()
        left = [False]

        def run() -> None:
            try:
                found.append(work(client))
            except BaseException as error:
                found.append(error)
            finally:
                done.set()
                if left[0]:
                    client.close()

        threading.Thread(target=run, name="expert's server", daemon=True).start()
        try:
            while not done.wait(TICK):
                if self.stop:
                    raise Stopped("stopped")
        except BaseException:  # its answer is nobody's now, and the next request must not read it
            left[0] = True
            if done.is_set():  # it ended meanwhile, and saw nothing of that
                client.close()
            self._client = self._open()
            raise
        result = found[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def _pause(self, seconds: float) -> None:
        end = seconds
        while end > 0:
            if self.stop:
                raise Stopped("stopped")
            self._sleep(min(TICK, end))
            end -= TICK

    def _lost(self, error: Exception) -> ExpertLost:
        if untrusted(error):
            return ExpertLost(*silence(self.url, error))
        if isinstance(error, httpx.TimeoutException):
            limit = CONNECT if isinstance(error, httpx.ConnectTimeout) else ANSWER
            return ExpertLost(
                f"the expert's server at {self.url} does not answer within {limit:g} seconds",
                "see that it runs, and how busy it is",
            )
        why = one_line(str(error)) or type(error).__name__
        return ExpertLost(f"the expert's server at {self.url} does not answer: {why}", "see that it runs")

    def _read(self, path: str, status: int, headers: Mapping[str, str], data: bytes) -> Any:
        place = self.url + path
        if 300 <= status < 400:
            raise RequestRefused(
                f"the expert's server sends {place} on to {one_line(headers.get('location', 'nowhere'))}",
                "give the address that it sends to: a key is sent nowhere else",
                status=status,
            )
        if status in (401, 403):
            told = "refuses the key" if self._key else "wants a key"
            raise AccessRefused(f"the expert's server at {self.url} {told} ({status})", f"set {KEY}")
        words = self._words(data) if status >= 400 else ""
        if status in AGAIN:
            raise ExpertLost(
                f"the expert's server at {self.url} answers {status}{': ' * bool(words)}{words}",
                "it is busy, or starting, or broken: see what it says itself",
            )
        if status >= 400:
            raise RequestRefused(f"{place} answers {status}{': ' * bool(words)}{words}", status=status, words=words)
        try:
            return json.loads(data)
        except ValueError:
            raise WrongAnswer(f"{place} answers what is no JSON", "see that a server of this kind runs there") from None

    def _words(self, data: bytes) -> str:
        """A server's own words about an error, without the key, should it repeat that."""
        try:
            found = json.loads(data)
        except ValueError:
            found = data.decode("utf-8", "replace")
        for name in ("error", "message", "detail"):
            if isinstance(found, dict) and name in found:
                found = found[name]
        words = one_line(found if isinstance(found, str) else json.dumps(found))
        return (words.replace(self._key, "***") if self._key else words)[:SHOWN]


def send(client: httpx.Client, method: str, url: str, body: bytes | None) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body, of MOST bytes. Raises what httpx does."""
    headers = {} if body is None else {"Content-Type": "application/json"}
    with client.stream(method, url, content=body, headers=headers) as response:
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > MOST:
                raise httpx.ReadError(f"its answer is longer than {MOST >> 20} MiB")
        return response.status_code, response.headers, bytes(data)


def untrusted(error: Exception) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def asked_pause(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait for."""
    try:
        return min(max(0.0, float(headers.get("retry-after", "0"))), LONGEST_PAUSE)
    except ValueError:
        return 0.0


def one_line(text: str) -> str:
    return " ".join(text.split())[:SHOWN]
