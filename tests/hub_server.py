"""A model hub on 127.0.0.1, with a second host for the bytes, that misbehaves when told to. Used through the `hub`
fixture. Speaks what huggingface_hub 1.x and 2.x ask of the real one for a download.
"""

import hashlib
import json
import mmap
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BLOCK = 64 << 10


@dataclass
class Served:
    """One file of a repository, and how it is served."""

    data: bytes | mmap.mmap
    claimed: str = ""
    """The SHA-256 that the listing gives; the true one if empty."""
    ignore_ranges: bool = False
    close_at: int | None = None
    """Every answer ends after this many bytes of body."""
    pause_at: int | None = None
    """The first answer stands still at this byte of the file until `resume` is set."""
    size: int | None = None
    """The size that the listing gives, where it is not the true one."""
    no_length: bool = False
    """The answers do not say how long the file is."""
    statuses: list[int] = field(default_factory=list)
    """Statuses to answer with before the file is served."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of such an answer."""

    @property
    def sha256(self) -> str:
        return self.claimed or hashlib.sha256(self.data).hexdigest()


@dataclass
class Repository:
    files: dict[str, Served]
    commit: str = "1" * 40
    gated: bool = False
    private: bool = False
    licence: str = "apache-2.0"


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    host: str
    method: str
    path: str
    headers: dict[str, str]


class Hub:
    """`repositories` by name, and what was asked and served."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.seen: list[Seen] = []
        self.bytes_served = 0
        self.paused = threading.Event()
        self.resume = threading.Event()
        self.token = ""
        """Where set, every request to the hub itself must bring it."""
        self.refusals: list[tuple[int, dict[str, str]]] = []
        """Statuses and headers that the hub itself answers with first."""
        self.url = ""
        self.files_url = ""

    def add(self, repo: str, files: Mapping[str, bytes | mmap.mmap], **how: Any) -> Repository:
        self.repositories[repo] = Repository({path: Served(data) for path, data in files.items()}, **how)
        return self.repositories[repo]

    def file(self, repo: str, path: str) -> Served:
        return self.repositories[repo].files[path]

    def asked(self, host: str, method: str = "GET") -> list[Seen]:
        return [each for each in self.seen if each.host == host and each.method == method]

    def environment(self, folder: Path) -> dict[str, str]:
        """Variables that send a process to this hub, with everything it writes in `folder`."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_CACHE": str(folder / "hf/hub"),
            "HF_HUB_DOWNLOAD_TIMEOUT": "1",
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "SPECCAS_THREADS": "1",
            "NO_PROXY": "*",
        }


def _handler(hub: Hub, host: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.answer()

        def do_HEAD(self) -> None:
            self.answer()

        def answer(self) -> None:
            hub.seen.append(
                Seen(host, self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
            )
            try:
                if host == "files":
                    self.serve()
                else:
                    self.route(unquote(urlsplit(self.path).path))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def say(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def route(self, path: str) -> None:
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
            name = (api or file or [None, ""])[1]
            repo = hub.repositories.get(name or "")
            if hub.refusals and (api or file):
                self.say(*hub.refusals.pop(0))
            elif hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self.say(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
            elif repo is None or repo.private:
                self.say(404 if self.headers.get("Authorization") else 401, {"X-Error-Code": "RepoNotFound"})
            elif repo.gated and file:
                self.say(403, {"X-Error-Code": "GatedRepo"})
            elif api:
                self.list(name or "", repo, api[2])
            elif file:
                self.redirect(name or "", repo, file[2], file[3])

        def list(self, name: str, repo: Repository, revision: str | None) -> None:
            if revision not in (None, "main", repo.commit):
                self.say(404, {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = [
                {
                    "rfilename": path,
                    "size": len(each.data) if each.size is None else each.size,
                    "blobId": "b" * 40,
                    "lfs": {"sha256": each.sha256, "size": len(each.data), "pointerSize": 130},
                }
                for path, each in repo.files.items()
            ]
            card = {"license": repo.licence}
            answer = {"id": name, "sha": repo.commit, "private": False, "gated": "auto" if repo.gated else False}
            body = json.dumps(
                {**answer, "cardData": card, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}
            )
            self.say(200, {"Content-Type": "application/json"}, body.encode())

        def redirect(self, name: str, repo: Repository, revision: str, path: str) -> None:
            if revision not in ("main", repo.commit):
                self.say(404, {"X-Error-Code": "RevisionNotFound"})
                return
            if path not in repo.files:
                self.say(404, {"X-Error-Code": "EntryNotFound"})
                return
            file = repo.files[path]
            headers = {
                "X-Repo-Commit": repo.commit,
                "X-Linked-Size": str(len(file.data)),
                "X-Linked-Etag": f'"{file.sha256}"',
                "ETag": f'"{file.sha256}"',
                "Location": f"{hub.files_url}/{name}/{path}?Signature=secret-in-the-url",
            }
            self.say(302, headers)

        def serve(self) -> None:
            owner, name, path = unquote(urlsplit(self.path).path).lstrip("/").split("/", 2)
            file = hub.repositories[f"{owner}/{name}"].files[path]
            if file.statuses:
                self.say(file.statuses.pop(0), file.headers)
                return
            total, first, last = len(file.data), 0, len(file.data) - 1
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            ranged = span is not None and not file.ignore_ranges
            if span is not None and ranged:
                first, last = int(span[1]), min(last, int(span[2] or last))
                if first >= total:
                    self.say(416, {"Content-Range": f"bytes */{total}"})
                    return
            self.send_response(206 if ranged else 200)
            if file.no_length:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(last - first + 1))
            self.send_header("ETag", '"the-store-has-its-own"')
            if ranged:
                self.send_header("Content-Range", f"bytes {first}-{last}/{'*' if file.no_length else total}")
            self.end_headers()
            if self.command != "HEAD":
                self.body(file, first, last + 1)

        def body(self, file: Served, first: int, stop: int) -> None:
            at = first
            while at < stop:
                upto = min(at + BLOCK, stop)
                if file.close_at is not None:
                    upto = min(upto, first + file.close_at)
                if file.pause_at is not None and not hub.resume.is_set():
                    upto = min(upto, max(file.pause_at, at))
                self.wfile.write(file.data[at:upto])
                hub.bytes_served += upto - at
                if upto == at or (file.close_at is not None and upto == first + file.close_at):
                    if file.close_at is None:
                        hub.paused.set()
                        hub.resume.wait(60)
                    else:
                        self.close_connection = True
                        return
                at = upto

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Hub]:
    """A hub and its file host, each on a port of its own, until the block ends."""
    hub = Hub()
    servers = [_Server(("127.0.0.1", 0), _handler(hub, host)) for host in ("hub", "files")]
    hub.url, hub.files_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True) for s in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        hub.resume.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def wait_for(what: Any, seconds: float = 60) -> None:
    """Until `what()` is true; a guard, not a measurement."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
