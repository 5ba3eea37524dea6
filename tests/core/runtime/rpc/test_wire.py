"""A worker is tried before weights travel: what listens there, whether it can be spoken with, and what it has."""

import socket

import pytest

from speccas.core.errors import NoWorker, Unavailable, UsageError
from speccas.core.files.workers import addresses
from speccas.core.runtime.rpc import wire
from speccas.core.runtime.rpc.wire import find_worker, find_workers, listens
from tests.builders.workers import COUNT, HELLO, MEMORY, VERSION, Pretender, free_port, pretending


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PATIENCE", 0.3)


def test_addresses() -> None:
    assert addresses("box") == ("box:50052",)
    assert addresses("10.0.0.2:1, lab-3.local:65535") == ("10.0.0.2:1", "lab-3.local:65535")
    for wrong in ("", "a:b", "a:0", "a:65536", "a,,b", "http://a", "[::1]:5", "a b", "a:1,a:1", "a:1,a:01"):
        with pytest.raises(UsageError):
            addresses(wrong)
    with pytest.raises(UsageError, match="too many"):
        addresses(",".join(f"a:{port}" for port in range(1, 18)))


def test_what_a_worker_tells() -> None:
    with pretending(Pretender(memory=((1 << 30, 2 << 30), (3 << 30, 4 << 30)))) as there:
        found = find_worker(there.address, VERSION, pings=3)
        assert (found.version, found.devices) == (VERSION, 2)
        assert (found.free, found.total) == (4 << 30, 6 << 30) and found.trip > 0
        assert there.heard == [HELLO, COUNT, COUNT, COUNT, MEMORY, MEMORY]


@pytest.mark.parametrize(("version", "spoken"), [((7, 0, 9), True), ((6, 9, 0), False), ((8, 0, 0), False)])
def test_a_version_that_llama_cpp_would_end_the_process_for_is_refused(
    version: tuple[int, int, int], spoken: bool
) -> None:
    with pretending(Pretender(version)) as there:
        if spoken:
            assert find_worker(there.address, VERSION).version == version
            return
        with pytest.raises(Unavailable, match=rf"version {version[0]}\.{version[1]}\.0 .* speaks 7\.0\.0") as caught:
            find_worker(there.address, VERSION)
        assert "both machines" in caught.value.hint
        assert there.heard == [HELLO], "nothing more is asked of it"


def test_a_newer_minor_version_is_refused_and_an_older_one_not() -> None:
    with pretending(Pretender((7, 1, 0))) as there:
        with pytest.raises(Unavailable, match=r"speaks version 7\.1\.0"):
            find_worker(there.address, VERSION)
        assert find_worker(there.address, (7, 2, 0)).version == (7, 1, 0)


def test_nothing_listens() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(NoWorker, match=f"no worker at {address}") as caught:
        find_workers((address,), VERSION)
    assert caught.value.exit_code == 3 and caught.value.facts == {"address": address}
    assert not listens(address)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(NoWorker, match="no worker at no-such-host"):
        find_worker("no-such-host.invalid:1", VERSION)
    with pytest.raises(NoWorker):
        find_worker(f"{'a' * 70}.invalid:1", VERSION)


def test_a_worker_that_serves_somebody_else_says_nothing(impatient: None) -> None:
    with pretending(Pretender(silent=True)) as there:
        with pytest.raises(Unavailable, match="busy: it serves one client at a time"):
            find_worker(there.address, VERSION)
        assert there.heard == [HELLO]


def test_a_backlog_that_nobody_takes_from_is_busy_too(impatient: None) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(Unavailable, match="busy"),
    ):
        find_worker(f"127.0.0.1:{listening.getsockname()[1]}", VERSION)


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x03\0\0\0\0\0\0\0\x01\x00\x00"])
def test_what_is_no_worker(raw: bytes) -> None:
    """A port that is closed at once, a web server, and the answer of an old version, which was three bytes long."""
    with pretending(Pretender(raw=raw)) as there, pytest.raises(Unavailable, match=r"no worker of llama\.cpp's RPC"):
        find_worker(there.address, VERSION)


def test_a_worker_without_devices() -> None:
    with pretending(Pretender(memory=())) as there, pytest.raises(Unavailable, match="has no device"):
        find_worker(there.address, VERSION)
