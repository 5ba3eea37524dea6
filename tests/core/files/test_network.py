"""Variables of the network that cannot be used, and networks that do not answer: what is said, and what still works."""

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from speccas.core.errors import Unavailable
from speccas.core.files.hub import look_up
from speccas.core.files.network import faults, proxies, proxy_of
from speccas.core.files.source import Source
from tests.builders.certificate import CERTIFICATE, KEY
from tests.builders.tiers import few_fast
from tests.hub_server import Hub

REPO, FILE = "owner/model-GGUF", "model-Q4_K_M.gguf"
NAME = f"hf:{REPO}"
SECRET = "hf_secret"


def speccas(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Variables come from the `hub` fixture. The time limit is a guard."""
    return subprocess.run(
        [sys.executable, "-c", "from speccas.cli.app import main; main()", *words],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 3, one line that says these words, perhaps a hint."""
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert [line.partition(":")[0] for line in lines] in (["error"], ["error", "hint"]), done.stderr
    assert not [word for word in words if word not in done.stderr], done.stderr
    assert SECRET not in done.stderr


BAD = [
    ("HF_HUB_DOWNLOAD_TIMEOUT", "ten"),
    ("ALL_PROXY", "socks5://127.0.0.1:1080"),
    ("HF_TOKEN", f"{SECRET}\u00e9"),
    ("HF_ENDPOINT", "http://127.0.0.1:port"),
    ("HF_HUB_ETAG_TIMEOUT", ""),
    ("HF_HUB_ETAG_TIMEOUT", "1.5"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "-1"),
    ("HF_HUB_DOWNLOAD_TIMEOUT", "9" * 30),
    ("ALL_PROXY", "socks://127.0.0.1:1080"),
    ("https_proxy", f"ftp://me:{SECRET}@127.0.0.1:21"),
    ("HTTP_PROXY", f"http://me:{SECRET}@127.0.0.1:99999"),
    ("HTTPS_PROXY", "http://"),
    ("HTTPS_PROXY", "http://[::1"),
    ("HTTP_PROXY", "http://a b"),
    ("HF_TOKEN", f"{SECRET} {SECRET}"),
    ("HUGGING_FACE_HUB_TOKEN", f"\u201c{SECRET}\u201d"),
    ("HF_ENDPOINT", ""),
    ("HF_ENDPOINT", "huggingface.co"),
    ("HF_ENDPOINT", "ftp://huggingface.co"),
    ("HF_ENDPOINT", "http://[::1"),
    ("SSL_CERT_FILE", "/no/such/file.pem"),
    ("SSL_CERT_DIR", "/no/such/folder"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_variable_that_cannot_be_used_is_told(name: str, value: str) -> None:
    assert [found for found, _ in faults({name: value})] == [name]
    assert SECRET not in str(list(faults({name: value})))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_HUB_DOWNLOAD_TIMEOUT", "30"), ("HF_TOKEN", "hf_abc\n"), ("HF_TOKEN", ""), ("HTTPS_PROXY", ""),
        ("HF_ENDPOINT", "https://hub.example:8443/mirror/"), ("HTTPS_PROXY", "http://me:pass@proxy:3128"),
        ("http_proxy", "127.0.0.1:3128"), ("SSL_CERT_FILE", ""), ("FTP_PROXY", "odd"), ("SSL_CERT_DIR", "/"),
    ],
)  # fmt: skip
def test_a_variable_that_can(name: str, value: str) -> None:
    assert not list(faults({name: value}))


def test_a_proxy_that_nothing_goes_through_does_not_matter() -> None:
    odd = {"ALL_PROXY": "socks4://x:1", "https_proxy": "http://y:1", "HTTPS_PROXY": "http://z:1"}
    assert proxies(odd) == ["https_proxy", "ALL_PROXY"]
    assert not list(faults({**odd, "NO_PROXY": "a, *"}))


@pytest.mark.parametrize(("name", "value"), few_fast(BAD[:6], 1))
def test_what_needs_the_network_is_refused_in_a_line(hub: Hub, name: str, value: str) -> None:
    refused(speccas("pull", NAME, NO_PROXY="", **{name: value}), f"{name} ")
    assert not hub.seen


@pytest.mark.slow
def test_what_needs_none_does_not_ask(hub: Hub, tmp_path: Path) -> None:
    """Nor does a variable that is wrong hide a model that is here."""
    hub.add(REPO, {FILE: b"x"})
    bad = {"HF_HUB_DOWNLOAD_TIMEOUT": "ten", "HF_TOKEN": "\u00e9", "ALL_PROXY": "odd://x", "NO_PROXY": ""}
    (tmp_path / "config/speccas/pairs").mkdir(parents=True)
    (tmp_path / "config/speccas/pairs/mine.yaml").write_text(
        f"name: mine\ndrafter: {{hf: {REPO}}}\nexpert: {{hf: {REPO}}}\n"
    )
    assert speccas("pull", NAME).returncode == 0
    for lock in tmp_path.rglob("lock.json"):
        lock.unlink()  # found in the cache then, whose place huggingface_hub knows
    listed, doctor = speccas("list", **bad), speccas("doctor", **bad)
    assert listed.returncode == 0 and [line.split()[3] for line in listed.stdout.splitlines() if "mine" in line] == [
        "have"
    ]
    assert speccas("list", HF_HUB_ENABLE_HF_TRANSFER="1").stderr == "", "no warning of another library"
    assert doctor.returncode == 0 and all(name in doctor.stdout for name in bad if name != "NO_PROXY")
    refused(speccas("pull", NAME, "--update", **bad), "HF_HUB_DOWNLOAD_TIMEOUT")


# --- networks that do not answer ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_dead_proxy_is_named(hub: Hub) -> None:
    refused(speccas("pull", NAME, NO_PROXY="", http_proxy=f"http://me:{SECRET}@127.0.0.1:9"), "http_proxy")
    refused(speccas("check", NAME, NAME, NO_PROXY="", ALL_PROXY="http://127.0.0.1:9"), "ALL_PROXY")
    refused(speccas("pull", NAME, HF_ENDPOINT="http://127.0.0.1:9"), "http://127.0.0.1:9 does not answer")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (407, ("HTTP_PROXY", "password", "407")),
        (511, ("log in", "511")),
        (502, ("502",)),
        (200, ("not as a model hub", "network")),
    ],
)
def test_what_stands_between(hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int, said: tuple[str, ...]) -> None:
    hub.add(REPO, {FILE: b"x"})
    hub.refusals = [(status, {})]
    monkeypatch.setattr("speccas.core.files.hub.proxy_of", lambda _: "HTTP_PROXY")
    with pytest.raises(Unavailable) as raised:
        look_up(Source(hf=REPO))
    assert all(word in f"{raised.value.message} {raised.value.hint}" for word in said)


def test_the_proxy_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    assert proxy_of("https://huggingface.co") == ""
    monkeypatch.setenv("ALL_PROXY", "http://a:1")
    assert proxy_of("https://huggingface.co") == "ALL_PROXY"
    monkeypatch.setenv("https_proxy", "http://b:1")
    assert proxy_of("https://huggingface.co") == "https_proxy" and proxy_of("http://x") == "ALL_PROXY"
    monkeypatch.setenv("NO_PROXY", "huggingface.co")
    assert proxy_of("https://huggingface.co") == ""


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose certificate nobody has signed."""
    for name, text in (("c.pem", CERTIFICATE), ("k.pem", KEY)):
        (tmp_path / name).write_text(text)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_certificate_that_is_not_trusted(hub: Hub, tmp_path: Path, untrusted: str) -> None:
    refused(speccas("pull", NAME, HF_ENDPOINT=untrusted), "certificate of", untrusted, "SSL_CERT_FILE")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    refused(speccas("pull", NAME, HF_ENDPOINT=untrusted, SSL_CERT_FILE=str(garbage)), "SSL_CERT_FILE")


@pytest.mark.slow
def test_a_saved_token_that_is_none(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: b"x"})
    (tmp_path / "hf").mkdir(exist_ok=True)
    for text in ("\u201chf_secret\u201d".encode(), b"\xff\xfe"):
        (tmp_path / "hf/token").write_bytes(text)
        refused(speccas("pull", NAME), "the saved token", "hf auth login")
