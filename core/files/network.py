"""What the environment says of the network: held against what can be used before it is, and named where it fails.

A bad variable otherwise ends in an import of huggingface_hub that fails, or in an error of its HTTP client that names
none. Values are never shown: a proxy's may hold a password.
"""

import importlib.util
import os
import ssl
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import Unavailable

SECONDS = ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT")
ENDPOINT = "HF_ENDPOINT"
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
HTTP = ("http", "https")
SOCKS = ("socks5", "socks5h")
MOST_SECONDS = 86_400  # of a timeout
UNREADABLE = {"InvalidURL", "UnsupportedProtocol", "LocalProtocolError"}
"""Errors of an HTTP client that was told something that is no address, or no header."""


def constants() -> Any:
    """huggingface_hub's constants. A variable that its import would fail on is as if it were not set: what is on this
    machine needs none of them, and `require_network` refuses it where it counts."""
    hidden = {name: os.environ.pop(name) for name in (*SECONDS, ENDPOINT) if _fault(name, os.environ)}
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of variables that have lost their use
            from huggingface_hub import constants as found
    finally:
        os.environ.update(hidden)
    return found


def require_network() -> None:
    """Raises Unavailable, naming the variable, where one that matters to the network cannot be used."""
    for name, fault in faults(os.environ):
        raise Unavailable(f"{name} {fault}", f"correct {name}, or unset it")
    constants()


def faults(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that cannot be used, and why."""
    for name in (*SECONDS, ENDPOINT, *TOKENS, *CERTIFICATES, *proxies(environment)):
        if fault := _fault(name, environment):
            yield name, fault


def _fault(name: str, environment: Mapping[str, str]) -> str:
    """What is wrong with a variable; "" where nothing is, or it is not set."""
    value = environment.get(name)
    if value is None:
        return ""
    if name in SECONDS:
        return _seconds_fault(value)
    if name in TOKENS:
        token = value.strip()
        sound = token.isascii() and token.isprintable() and " " not in token
        return "" if sound else "is no token: it holds a blank or a character that is not ASCII"
    if name in CERTIFICATES:
        return _certificate_fault(name, value)
    return _endpoint_fault(value) if name == ENDPOINT else _proxy_fault(value)


def _seconds_fault(value: str) -> str:
    try:
        seconds = int(value)
    except ValueError:
        seconds = -1
    return "" if 0 <= seconds <= MOST_SECONDS else f"is no whole number of seconds from 1 to {MOST_SECONDS:,}"


def _certificate_fault(name: str, value: str) -> str:
    if name == "SSL_CERT_DIR":
        return "" if not value or Path(value).is_dir() else "names no folder"
    sound = not value or (Path(value).is_file() and os.access(value, os.R_OK))
    return "" if sound else "names no file that can be read"


def _endpoint_fault(value: str) -> str:
    scheme = _scheme(value)
    return "" if scheme in HTTP else "is no address such as https://huggingface.co"


def _proxy_fault(value: str) -> str:
    """A proxy may leave its scheme out."""
    if not value:
        return ""
    scheme = _scheme(value if "://" in value else f"http://{value}")
    if scheme is None:
        return "is no address such as http://HOST:PORT"
    if scheme not in (*HTTP, *SOCKS):
        return f"names a proxy of the scheme {scheme!r}: http, https, socks5 and socks5h are known"
    if scheme in SOCKS and importlib.util.find_spec("socksio") is None:
        return f"names a proxy of the scheme {scheme!r}, for which the package socksio is not installed"
    return ""


def _scheme(address: str) -> str | None:
    """The scheme of an address with a host; None where it is none."""
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return None
    whole = address.isprintable() and " " not in address
    return parts.scheme if host and whole else None


def proxies(environment: Mapping[str, str]) -> list[str]:
    """The variables that name a proxy; none where NO_PROXY is for every host. Small letters win, as in curl."""
    by_name = {name.lower(): name for name in sorted(environment)}
    if "*" in (host.strip() for host in environment.get(by_name.get("no_proxy", ""), "").split(",")):
        return []
    return [by_name[name] for name in ("http_proxy", "https_proxy", "all_proxy") if name in by_name]


def proxy_of(url: str) -> str:
    """The variable that names the proxy for an address; "" where none does."""
    address, known = urlsplit(url), getproxies()
    scheme = next((each for each in (address.scheme, "all") if known.get(each)), "")
    if not scheme or not address.hostname or proxy_bypass(address.hostname):
        return ""
    return next((name for name in proxies(os.environ) if name.lower() == f"{scheme}_proxy"), "the system's settings")


def silence(url: str, error: BaseException) -> tuple[str, str]:
    """Why nothing came from an address, and what to do."""
    address, causes = urlsplit(url), list(_causes(error))
    place = f"{address.scheme}://{address.netloc.rpartition('@')[2]}"
    certificate = next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None)
    if certificate is not None or any("CERTIFICATE_VERIFY_FAILED" in str(each) for each in causes):
        why = getattr(certificate, "verify_message", "") or "it cannot be verified"
        return (
            f"the certificate of {place} is not trusted: {why}",
            "if your network reads along, point SSL_CERT_FILE at the certificates that it uses",
        )
    proxy, kind = proxy_of(url), type(error).__name__
    if any("407" in str(each) for each in causes):
        return refused_by_proxy(proxy)
    if kind in UNREADABLE:
        return f"the address {place}, a proxy or the token cannot be used: {kind}", "check HF_ENDPOINT and NO_PROXY"
    if proxy:
        return f"{place} does not answer through the proxy of {proxy}: {kind}", f"check {proxy}, and the network"
    return f"{place} does not answer: {kind}", "check the network, or HF_ENDPOINT"


def refused_by_proxy(proxy: str) -> tuple[str, str]:
    """What a 407 means."""
    name = proxy or "HTTPS_PROXY"
    told = f"the proxy of {name} asks for a name and a password (407)"
    return told, f"write them into {name}: http://NAME:PASSWORD@HOST:PORT"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
