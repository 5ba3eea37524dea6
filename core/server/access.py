"""Who may ask: the Host header, the API key and the kind of a body are checked before anything else is.

A page of a stranger can make a browser send requests to this machine. It cannot choose their Host (a name that it
points here stays its own name), and not JSON's content type without asking first.
"""

import hmac
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from .api_error import ApiError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
OPEN = {"/health", "/openapi.json", "/"}
"""Paths that need no key."""


@dataclass(frozen=True, slots=True)
class Access:
    """`key` "": none is asked for. `hosts`: names that a client may call this machine by, besides numbers; with a key
    any name will do, since no stranger's page has the key."""

    key: str
    hosts: frozenset[str]

    def check(self, method: str, path: str, headers: dict[str, str]) -> None:
        """Raises ApiError for a request that may not come in."""
        host = host_of(headers.get("host", ""))
        if not self.key and not (host in self.hosts or host.endswith(".localhost") or is_number(host)):
            message = f"this server is not called {host[:80]!r}"
            raise ApiError(403, message, "permission_error", code="unknown_host")
        if method == "OPTIONS":
            return
        if self.key and path not in OPEN and not self._has_key(headers):
            message = "the API key is missing or wrong: Authorization: Bearer KEY"
            raise ApiError(401, message, "authentication_error", code="invalid_api_key")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method == "POST" and kind != "application/json":
            message = f"the body must be JSON, with Content-Type: application/json, not {kind[:80] or 'none'}"
            raise ApiError(415, message)

    def _has_key(self, headers: dict[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode("latin-1", "replace"), self.key.encode())


def known_hosts(listening: str, more: tuple[str, ...] = ()) -> frozenset[str]:
    """Names of this machine."""
    own = socket.gethostname().lower()
    return frozenset({"localhost", own, f"{own}.local", listening.lower(), *(name.lower() for name in more)})


def host_of(header: str) -> str:
    """A Host header without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    return host == "localhost" or (is_number(host) and ipaddress.ip_address(host).is_loopback)


def guarded(inner: Application, access: Access) -> Application:
    """The application behind the checks."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                access.check(scope["method"], scope["path"], headers)
            except ApiError as error:
                scope["handled"].error = str(error)
                await refuse(error, send)
                return
        await inner(scope, receive, send)

    return application


async def refuse(error: ApiError, send: Send) -> None:
    """Send an error as the whole response."""
    data = json.dumps(error.body).encode()
    headers = {"content-type": "application/json", "content-length": str(len(data)), **error.headers}
    found = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": found})
    await send({"type": "http.response.body", "body": data})
