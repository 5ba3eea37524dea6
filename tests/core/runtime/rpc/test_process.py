"""The process of a remote expert and the pipe to it: errors come back as they were, and no process stays."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from speccas.core.errors import NoRpc, UsageError
from speccas.core.runtime.rpc.child import Holder
from speccas.core.runtime.rpc.library import has_rpc, require_rpc, version
from speccas.core.runtime.rpc.pipe import SharedMemory, receive, send
from speccas.core.runtime.rpc.process import ExpertProcess, ProcessEnded
from speccas.core.runtime.stop import StopFlag
from tests.builders.models import TINY
from tests.builders.processes import alive
from tests.builders.workers import free_port


def test_frames_of_any_length_arrive_whole() -> None:
    reader, writer = os.pipe()
    long = {"ids": list(range(100_000)), "text": "ü" * 10}

    def write() -> None:
        for each in ({}, long):
            send(writer, each)

    thread = threading.Thread(target=write)
    thread.start()
    assert receive(reader) == {} and receive(reader) == long
    thread.join()
    os.close(writer)
    with pytest.raises(EOFError):
        receive(reader)
    os.close(reader)


def test_rows_are_seen_on_both_sides_and_leave_no_file() -> None:
    one = SharedMemory(size=3 * 5 * 4)
    other = SharedMemory(one.path)
    assert not Path(one.path).exists()
    other.rows(5)[1] = np.arange(5, dtype=np.float32)
    assert one.rows(5).shape == (3, 5) and one.rows(5)[1].tolist() == [0, 1, 2, 3, 4]
    for each in (one, other):
        each.close()


def test_an_error_in_the_process_is_told_with_its_kind() -> None:
    flag = SharedMemory(size=2)
    asked = {"do": "load", "path": "/no/such.gguf", "workers": [], "layers": -1, "output_here": False}
    told = Holder(lambda message: None).answer({**asked, "flag": flag.path})["error"]
    flag.close()
    assert told[0] == UsageError.__name__ and "/no/such.gguf" in told[1]


def test_a_process_that_cannot_reach_its_worker() -> None:
    """Without RPC it says so; with it llama.cpp ends it, and its words are kept."""
    process = ExpertProcess(StopFlag())
    asked = {"do": "load", "path": str(TINY), "layers": -1, "output_here": False, "flag": process.flag}
    kind = ProcessEnded if has_rpc() else NoRpc
    with pytest.raises(kind) as caught:
        process.ask({**asked, "workers": [f"127.0.0.1:{free_port()}"]})
    assert ("Failed to connect" in str(caught.value)) is has_rpc()
    process.close()
    assert process.ended and not alive(process.process) and not Path(process.flag).exists()


IDLE = """
import time
from speccas.core.runtime.rpc.process import ExpertProcess
from speccas.core.runtime.stop import StopFlag
process = ExpertProcess(StopFlag())
print(process.process, process.flag, sep="\\n", flush=True)
time.sleep(60)
"""


def test_a_process_that_waits_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child, flag = int(parent.stdout.readline()), Path(parent.stdout.readline().decode().strip())
        assert alive(child)
        parent.kill()
    until = time.monotonic() + 30
    while alive(child):
        assert time.monotonic() < until, "an orphan"
        time.sleep(0.02)
    flag.unlink()  # it was never told of it


def test_the_version_is_that_of_the_build() -> None:
    assert version()[0] >= 7 and len(version()) == 3
    if not has_rpc():
        with pytest.raises(NoRpc):
            require_rpc()
