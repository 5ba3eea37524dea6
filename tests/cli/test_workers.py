"""The expert on workers from the command line: settings, what is said where it does not work, chat, Ctrl-C, doctor."""

import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from speccas.cli.settings import resolve
from speccas.core.errors import UsageError
from speccas.core.files.profiles import read_profile
from speccas.core.runtime.rpc.lending import STAYS
from speccas.core.runtime.rpc.library import has_rpc
from tests.builders.processes import alive
from tests.builders.workers import Lent, Pretender, children, free_port, pretending, worker

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ASKED = ("run", "Name three primary colours.", "--pair", "tiny-model", "-n", "16", "--ctx", "512", "-q")


@pytest.fixture(scope="module")
def lent() -> Iterator[Lent]:
    with worker() as found:
        yield found


def test_a_setting_in_every_place() -> None:
    def found(**places: Mapping[str, Any]) -> str:
        layers = ("flags", "environment", "config", "tuned", "profile", "defaults")
        return resolve(*(places.get(name, {}) for name in layers)).expert_rpc

    assert found() == ""
    assert found(environment={"SPECCAS_EXPERT_RPC": "box"}) == "box:50052"
    assert found(config={"expert_rpc": "a:1"}, flags={"expert_rpc": "b:2, c:3"}) == "b:2,c:3"
    assert found(config={"expert_rpc": "a:1"}, flags={"expert_rpc": ""}) == "", "it can be taken away"
    with pytest.raises(UsageError, match=r"expert_rpc \(from the environment\): 'a:b:c' is no address"):
        found(environment={"SPECCAS_EXPERT_RPC": "a:b:c"})


def test_a_key_of_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"

    def written(drafter: str, expert: str) -> Any:
        file.write_text(f"name: pair\ndrafter: {{path: a.gguf{drafter}}}\nexpert: {{path: b.gguf{expert}}}\n")
        return read_profile(file)

    assert written("", ", rpc: 'box,lab:9'").expert.rpc == "box:50052,lab:9"
    assert written("", ", rpc: box, rpc_output: here").expert.rpc_output == "here"
    with pytest.raises(UsageError, match=r"expert's rpc_output is 'near'"):
        written("", ", rpc: box, rpc_output: near")
    with pytest.raises(UsageError, match=r"drafter cannot be on workers"):
        written(", rpc: box", "")
    with pytest.raises(UsageError, match=rf"{re.escape(str(file))}: 'a b' is no address of a worker"):
        written("", ", rpc: a b")


def test_a_text_that_is_no_address(speccas: Run) -> None:
    done = speccas(*ASKED, "--expert-rpc", "http://box")
    assert done.returncode == 2 and "is no address of a worker" in done.stderr
    assert "HOST:PORT" in done.stderr and "Traceback" not in done.stderr


def test_where_the_output_is_goes_with_workers(speccas: Run) -> None:
    done = speccas(*ASKED, "--expert-rpc-output", "here")
    assert done.returncode == 2 and "--expert-rpc-output is of an expert on workers" in done.stderr


@pytest.mark.tiny
@pytest.mark.parametrize("asked", [(*ASKED, "--expert-rpc", "127.0.0.1:1"), ("worker",)], ids=" ".join)
def test_a_build_without_rpc_says_what_to_install(speccas: Run, asked: tuple[str, ...]) -> None:
    if has_rpc():
        pytest.skip("this llama.cpp has RPC")
    done = speccas(*asked)
    assert done.returncode == 3 and done.stdout == ""
    assert "error: this build of llama.cpp has no RPC" in done.stderr
    assert "CMAKE_ARGS=-DGGML_RPC=on" in done.stderr and "--no-binary llama-cpp-python" in done.stderr
    assert "'llama-cpp-python==0.3.36'" in done.stderr


def test_the_doctor_says_whether_this_build_has_rpc(speccas: Run) -> None:
    build = json.loads(speccas("doctor", "--json").stdout)["llama_cpp"]
    assert build["rpc"] == ("7.0.0" if has_rpc() else None)


@pytest.mark.rpc
@pytest.mark.tiny
def test_a_run_writes_what_the_local_one_does(speccas: Run, lent: Lent) -> None:
    here = speccas(*ASKED)
    lent.idle()
    there = speccas(*ASKED, "--expert-rpc", lent.address)
    assert there.returncode == 0 and there.stdout == here.stdout and here.stdout.strip()
    lent.idle()
    apart = speccas(*ASKED, "--expert-rpc", lent.address, "--expert-rpc-output", "here")
    assert apart.returncode == 0 and apart.stdout == here.stdout


@pytest.mark.rpc
def test_a_worker_tells_where_it_is_and_ends_with_ctrl_c() -> None:
    with worker() as own:
        with socket.create_connection(("127.0.0.1", own.port)):
            time.sleep(STAYS + 0.5)
        own.idle()
        assert own.interrupt() == 130
        assert f"worker at {own.address}, RPC 7.0.0, 1 threads" in own.said
        assert re.search(r"[\d.]+ GB, [\d.]+ GB free", own.said)
        assert f"ssh -N -L {own.port}:127.0.0.1:{own.port}" in own.said
        assert own.said.count("a client is here") == own.said.count("the client has gone") == 1
        assert "warning" not in own.said and "Traceback" not in own.said


@pytest.mark.rpc
def test_a_port_that_is_taken_is_one_line(speccas: Run, lent: Lent) -> None:
    done = speccas("worker", "--port", str(lent.port))
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"error: cannot listen at 127.0.0.1 port {lent.port}: Address already in use"


@pytest.mark.rpc
def test_where_others_can_reach_it_there_is_a_warning(script: str, clean: Mapping[str, str]) -> None:
    port = free_port()
    with subprocess.Popen(
        [script, "worker", "--host", "0.0.0.0", "--port", str(port)], stderr=subprocess.PIPE, env=dict(clean), text=True
    ) as child:
        assert child.stderr is not None
        said = ""
        while "ssh -N" not in said:
            said += child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 143
    assert "no password and no encryption" in said


@pytest.mark.rpc
@pytest.mark.tiny
def test_the_doctor_tries_workers(speccas: Run, lent: Lent) -> None:
    lent.idle()
    nobody = f"127.0.0.1:{free_port()}"
    with pretending(Pretender((8, 0, 0))) as newer:
        done = speccas("doctor", "--json", "--expert-rpc", f"{lent.address},{nobody},{newer.address}")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    good, gone, other = found["workers"]
    assert good["version"] == "7.0.0" and 0 < good["free"] <= good["total"] and good["trip"] > 0
    assert gone["error"].startswith(f"no worker at {nobody}") and "speaks version 8.0.0" in other["error"]
    wrong = {each["what"]: each["hint"] for each in found["wrong"]}
    assert f"speccas worker --port {nobody.rpartition(':')[2]}" in wrong[gone["error"]] and other["error"] in wrong
    assert found["curve"] is None and found["elsewhere"] is None
    plain = speccas("doctor", "--expert-rpc", lent.address).stdout
    assert re.search(rf"worker +{lent.address}: RPC 7\.0\.0, .* GB free, a round trip takes", plain)


@pytest.mark.rpc
@pytest.mark.tiny
def test_the_doctor_measures_through_a_worker(speccas: Run, lent: Lent, tmp_path: Path) -> None:
    lent.idle()
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    done = speccas("doctor", "--curve", "--pair", "tiny-model", "--expert-rpc", lent.address, env=cache)
    assert done.returncode == 0, done.stderr
    assert "pays from a trip of" in done.stdout and "drafting here" in done.stdout
    for path in tmp_path.rglob("curves.json"):  # there where it was steady
        assert all(f"rpc {lent.address}" in key for key in json.loads(path.read_text()))


@pytest.mark.rpc
@pytest.mark.tiny
def test_before_an_answer_it_says_whether_drafting_pays_once_that_is_known(
    speccas: Run, lent: Lent, tmp_path: Path
) -> None:
    cache, said = {"XDG_CACHE_HOME": str(tmp_path)}, []
    for _ in range(2):
        lent.idle()
        done = speccas(*ASKED[:4], "-n", "48", "-k", "auto", "--expert-rpc", lent.address, env=cache)
        assert done.returncode == 0, done.stderr
        said.append([line for line in done.stderr.splitlines() if "the expert is on" in line])
    assert said[0] == [] and len(said[1]) == 1
    assert re.match(rf"note: the expert is on {lent.address}: (drafting here|at a round trip of)", said[1][0])
    assert [line for line in speccas(*ASKED[:4], "-n", "4", env=cache).stderr.splitlines() if "is on" in line] == []


@pytest.mark.rpc
@pytest.mark.tiny
def test_check_asks_workers_whether_there_is_room(speccas: Run, lent: Lent) -> None:
    lent.idle()
    found = json.loads(speccas("check", "tiny-model", "--json", "--expert-rpc", lent.address).stdout)["workers"]
    assert found["fits"] and found["needed"] > 80e6 and found["free"] > found["needed"]
    with pretending(Pretender(memory=((1 << 20, 2 << 20),))) as small:
        told = speccas("check", "tiny-model", "--expert-rpc", small.address)
        assert told.returncode == 0 and "that is too little" in told.stdout
        done = speccas(*ASKED, "--expert-rpc", small.address)
    assert done.returncode == 6 and "the workers have 0.00 GB free" in done.stderr


@pytest.mark.rpc
@pytest.mark.tiny
def test_nothing_listens(speccas: Run) -> None:
    port = free_port()
    done = speccas(*ASKED, "--expert-rpc", f"127.0.0.1:{port}")
    assert done.returncode == 3 and f"error: no worker at 127.0.0.1:{port}: connection refused" in done.stderr
    assert f"hint: start one: speccas worker --port {port}" in done.stderr


@pytest.fixture
def writing(script: str, clean: Mapping[str, str], lent: Lent) -> Iterator["subprocess.Popen[bytes]"]:
    """A long answer that has begun to be written."""
    lent.idle()
    command = [script, "run", "Count to one thousand.", *ASKED[2:4], "-n", "2000", "--ignore-eos", "-q", "-k", "4",
               "--temperature", "1", "--expert-rpc", lent.address]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(clean)) as child:
        assert child.stdout is not None and child.stdout.read(8)
        yield child
        child.kill()


@pytest.mark.rpc
@pytest.mark.tiny
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["ctrl-c", "kill"])
def test_however_it_ends_no_process_stays(
    writing: "subprocess.Popen[bytes]", lent: Lent, number: int, code: int
) -> None:
    every = children(writing.pid)
    assert any("rpc.child" in Path(f"/proc/{each}/cmdline").read_text() for each in every)
    writing.send_signal(number)
    assert writing.wait(30) == code
    until = time.monotonic() + 30
    while any(map(alive, every)):
        assert time.monotonic() < until, "an orphan"
        time.sleep(0.05)
    lent.idle()


@pytest.mark.rpc
@pytest.mark.tiny
def test_a_worker_that_dies_ends_a_run_with_a_line(script: str, clean: Mapping[str, str]) -> None:
    with worker() as own:
        command = [
            script,
            "run",
            "Count.",
            *ASKED[2:4],
            "-n",
            "2000",
            "--ignore-eos",
            "-q",
            "--expert-rpc",
            own.address,
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(clean)) as child:
            assert child.stdout is not None and child.stdout.read(8)
            own.kill()
            _, told = child.communicate(timeout=30)
    assert child.returncode == 3
    assert f"error: the worker at {own.address} is gone, and with it what it had read" in told.decode()
    assert "Traceback" not in told.decode() and "GGML" not in told.decode()
