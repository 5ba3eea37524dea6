"""A model hub: what a source is there, its files into the shared cache, its header alone."""

import contextlib
import json
import os
import shutil
import ssl
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import HfApi, ModelInfo, constants, get_token, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import are_symlinks_supported
from huggingface_hub.utils import WeakFileLock, build_hf_headers, logging

from ..errors import AccessRefused, DiskFull, DoesNotFit, IntegrityError, SpeccasError, Unavailable, UsageError
from ..headers.gguf import MAX_HEADER, Header, Truncated, parse_header
from .cache import PART, Entry, cache_dir, changing_lock, find, repository_dir
from .listing import RemoteFile, check_name, choose, is_head
from .local import hash_file
from .network import proxy_of, refused_by_proxy, silence
from .patience import asked_for, require_short
from .source import COMMIT, SHA256, Source
from .transfer import FULL, TRANSPORT_ERRORS, TRIES, fetch, first_bytes

logging.set_verbosity(logging.ERROR)  # its warnings repeat what a server sends; ours are errors with a hint

FIRST = 2 << 20  # bytes of a header asked for at first; a vocabulary of 50 thousand tokens fits
MARGIN = 64 << 20  # bytes of disk left free
TIMEOUT = 10.0

Tell = Callable[[str, int, int], None]
"""Hears a file's path, the bytes of it that are here, and its size."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A model as the hub has it now."""

    repo: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]
    known: frozenset[str]
    """SHA-256 of every file of the repository."""
    licence: str = ""
    gated: bool = False
    heads: tuple[str, ...] = ()
    """Paths of the draft heads in the repository, by their names."""


@dataclass(frozen=True, slots=True)
class Job:
    """One file to have: `here` of its bytes are on this machine already."""

    remote: Remote
    file: RemoteFile
    here: int

    @property
    def blob(self) -> Path:
        return repository_dir(self.remote.repo) / "blobs" / self.file.sha256

    @property
    def part(self) -> Path:
        return self.blob.with_name(self.blob.name + PART)

    @property
    def place(self) -> Path:
        """Where it is found: a link to the blob, or in a cache without links the file itself."""
        root = repository_dir(self.remote.repo) / "snapshots" / self.remote.commit
        return root.joinpath(*self.file.path.split("/"))


def look_up(source: Source) -> Remote:
    """What a hub source is at the moment: one request. Raises every error of `told` and of `choose`, and IntegrityError
    where the answer cannot be relied on or is not what the profile says."""
    if source.revision:
        check_name(source.revision)
    with told(source):
        try:
            info = _asked(source)
            files = [
                RemoteFile(each.rfilename, each.size or 0, (each.lfs.sha256 if each.lfs else "") or "")
                for each in info.siblings or ()
            ]
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError):
            raise Unavailable(
                f"{constants.ENDPOINT} answers, but not as a model hub does", "check the network, or HF_ENDPOINT"
            ) from None
    if not COMMIT.fullmatch(info.sha or ""):
        raise IntegrityError(f"the hub names no commit of {source.hf}", "check HF_ENDPOINT")
    chosen = choose(files, source.hf, source.quant, source.file)
    for file in chosen:
        if not SHA256.fullmatch(file.sha256) or file.bytes <= 0:
            raise IntegrityError(f"the hub gives no size and SHA-256 for {file.path}", "name another repository")
    if source.sha256 and chosen[0].sha256 != source.sha256:
        raise IntegrityError(
            f"{source.hf}/{chosen[0].path} has changed: its SHA-256 is {chosen[0].sha256}, the profile says "
            f"{source.sha256}",
            "look at the repository, then correct the profile",
        )
    card = info.card_data
    licence = str(card.get("license") or "") if card is not None else ""
    known = frozenset(file.sha256 for file in files)
    heads = tuple(sorted(file.path for file in files if is_head(file.path)))
    return Remote(source.hf, source.revision, str(info.sha), chosen, known, licence, bool(info.gated), heads)


def _asked(source: Source) -> ModelInfo:
    """The hub's answer; where it is busy, again after the time that it asks for."""
    for left in reversed(range(TRIES)):
        try:
            return HfApi().model_info(source.hf, revision=source.revision or None, files_metadata=True, timeout=TIMEOUT)
        except HfHubHTTPError as error:
            seconds = asked_for(error.response.headers) if error.response.status_code == 429 else None
            require_short(seconds, get_token() is not None)
            if seconds is None or not left:
                raise
            time.sleep(seconds)
    raise AssertionError


def plan(remotes: Sequence[Remote]) -> list[Job]:
    """What is to be had, and how much of it is here."""
    jobs = [Job(remote, file, 0) for remote in remotes for file in remote.files]
    return [replace(job, here=min(job.file.bytes, max(map(_size, (job.blob, job.part, job.place))))) for job in jobs]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def require_space(jobs: Sequence[Job]) -> None:
    """Raises DoesNotFit, before a byte is fetched, where the disk has no room for what is missing."""
    missing = sum(job.file.bytes - job.here for job in {job.file.sha256: job for job in jobs}.values())
    folder = cache_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if missing and missing + MARGIN > free:
        raise DiskFull(f"the download needs {missing / 1e9:.2f} GB, and {folder} has {free / 1e9:.2f} GB free")


def pull(source: Source, remote: Remote, pair: str, tell: Tell) -> Entry:
    """Have every file of a model in the shared cache, whole and with the right hash, and the lock say so.

    Raises every error of `told` and `fetch`. Two processes may do this at once.
    """
    with told(source):
        for job in plan([remote]):
            _have(job, tell)
        if not COMMIT.fullmatch(source.revision):
            _remember_branch(remote)
        folder = repository_dir(remote.repo) / "snapshots" / remote.commit
        return _note(source, Entry(remote.repo, remote.commit, str(folder), remote.files), pair)


def keep(source: Source, pair: str) -> Entry | None:
    """The model where it is whole on this machine, noted as wanted by `pair` too. No network."""
    entry = find(source)
    if entry is None or not all(file.sha256 for file in entry.files):
        return None
    if source.sha256 and entry.files[0].sha256 != source.sha256:
        return None
    return _note(source, entry, pair)


def _note(source: Source, entry: Entry, pair: str) -> Entry:
    """Write to the lock what a source is, and that `pair` uses it."""
    with changing_lock() as lock:
        before = lock[source.key].pairs if source.key in lock else ()
        lock[source.key] = replace(entry, pairs=tuple(dict.fromkeys((*before, pair))))
        return lock[source.key]


def _have(job: Job, tell: Tell) -> None:
    """See that one file is in the cache, checked and linked into its snapshot."""
    file, remote = job.file, job.remote
    job.blob.parent.mkdir(parents=True, exist_ok=True)
    lock = cache_dir() / ".locks" / job.blob.parent.parent.name / f"{file.sha256}.lock"  # the one other tools take
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        for part in job.blob.parent.glob("*" + PART):  # of a file that has changed since
            if part.name.removesuffix(PART) not in remote.known:
                part.unlink(missing_ok=True)
        for old in (job.blob, *([] if job.place.is_symlink() else [job.place])):
            if old.exists() and hash_file(old, lambda done: tell(file.path, done, file.bytes)) != file.sha256:
                old.unlink()  # another program's, or damaged since
        if not (job.blob.exists() or job.place.exists()):
            url = hf_hub_url(remote.repo, file.path, revision=remote.commit)
            fetch(url, build_hf_headers(), job.part, file, lambda done: tell(file.path, done, file.bytes))
            os.replace(job.part, job.blob)  # noqa: PTH105 - atomic on Windows too
        if not job.place.exists() and not _linked(job) and not _links_work():
            job.place.parent.mkdir(parents=True, exist_ok=True)
            job.blob.replace(job.place)
    # Asks for the file's ETag, finds the blob of that name, and links it into the snapshot.
    path = Path(hf_hub_download(remote.repo, file.path, revision=remote.commit, cache_dir=cache_dir()))
    if path.is_symlink() and not path.samefile(job.blob):
        raise IntegrityError(f"the hub names another file for {file.path} than its listing does", "pull again later")


def _links_work() -> bool:
    """Whether the cache can have symbolic links (on Windows few users may make them)."""
    with warnings.catch_warnings(action="ignore"):  # it says at length what becomes of a cache without them
        return are_symlinks_supported(cache_dir())


def _linked(job: Job) -> bool:
    """Whether a snapshot is linked to the blob already: it cannot be moved then."""
    snapshots = repository_dir(job.remote.repo) / "snapshots"
    return any(each.is_symlink() and each.resolve() == job.blob.resolve() for each in snapshots.rglob("*"))


def _remember_branch(remote: Remote) -> None:
    """Note the branch's commit where other tools look for it when they are offline."""
    ref = repository_dir(remote.repo) / "refs" / (remote.revision or "main")
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(remote.commit, encoding="ascii")


def remote_header(remote: Remote) -> Header:
    """The header of a model that is on the hub, over range requests: nothing behind it is read."""
    file = remote.files[0]
    url = hf_hub_url(remote.repo, file.path, revision=remote.commit)
    data, want = b"", FIRST
    with told(Source(hf=remote.repo, revision=remote.revision)):
        while True:
            stop = min(want, file.bytes, MAX_HEADER)
            data += first_bytes(url, build_hf_headers(), len(data), stop)
            if len(data) < stop:
                raise Unavailable(f"{file.path}: the connection was closed early", "try again")
            try:
                return parse_header(data, file.bytes, f"{remote.repo}/{file.path}")
            except Truncated as error:
                want = max(error.needed, 2 * want)


@contextlib.contextmanager
def told(source: Source) -> Iterator[None]:
    """The hub's errors as ours, with what to do next. Never repeats a URL or a header: those may hold secrets."""
    repo = source.hf
    page = f"{constants.ENDPOINT}/{repo}"
    try:
        yield
    except SpeccasError:
        raise
    except GatedRepoError:
        raise AccessRefused(
            f"{repo} is gated: its owner asks you to accept terms first",
            f"ask for access on {page}, then `hf auth login` (or set HF_TOKEN)",
        ) from None
    except DisabledRepoError:
        raise AccessRefused(f"the hub has disabled {repo}", "choose another repository") from None
    except RepositoryNotFoundError as error:
        if error.response.status_code in (401, 403):
            raise AccessRefused(
                f"the hub does not show {repo}: it does not exist, or it is private",
                f"check the name; if it is yours, `hf auth login` (or set HF_TOKEN), then look at {page}",
            ) from None
        raise UsageError(f"there is no repository {repo}, or you may not see it", f"check the name: {page}") from None
    except RevisionNotFoundError:
        raise UsageError(f"{repo} has no revision {source.revision!r}", f"see {page}/tree/main") from None
    except RemoteEntryNotFoundError:
        raise UsageError(f"{repo} no longer has that file", f"see {page}/tree/main") from None
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        offline = "HF_HUB_OFFLINE is set", "pull it while online"
        why, hint = offline if constants.is_offline_mode() else silence(constants.ENDPOINT, error)
        raise Unavailable(f"{source} is not on this machine, and {why}", hint) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise AccessRefused(
                f"the hub refuses access to {repo} ({status})", "`hf auth login`, or set HF_TOKEN to a valid token"
            ) from None
        raise Unavailable(*_refusal(status, repo)) from None
    except UnicodeError:
        raise Unavailable("the saved token is no token: it is not ASCII", "`hf auth login`, or set HF_TOKEN") from None
    except HFValidationError as error:
        raise UsageError(f"{repo!r} is no repository name: {error}", "write hf:owner/repo") from None
    except TRANSPORT_ERRORS as error:
        raise Unavailable(*silence(constants.ENDPOINT, error)) from None
    except ssl.SSLError as error:
        what = f"the certificates of this machine cannot be used: {error.reason or type(error).__name__}"
        raise Unavailable(what, "check SSL_CERT_FILE and SSL_CERT_DIR") from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        kind = DoesNotFit if error.errno in FULL else SpeccasError
        raise kind(f"{where}{error.strerror or error}", "the cache is where HF_HOME points") from None


def _refusal(status: int, repo: str) -> tuple[str, str]:
    """What an answer of this status means, and what to do."""
    if status == 407:
        return refused_by_proxy(proxy_of(constants.ENDPOINT))
    if status == 511:
        return "the network asks you to log in before it lets anything through (511)", "open a browser, then try again"
    if status == 429:
        return (
            f"the hub is asked too often ({status})",
            "try again later; with a token (`hf auth login`) more is allowed",
        )
    return f"the hub answered {status} for {repo}", "try again later"
