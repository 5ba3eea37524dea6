"""`speccas serve` as a process: its key, its port, what it says, and how it ends."""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping

import pytest

from tests.builders.served import ENDLESS, all_of, client, serving

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.tiny
def test_a_key_guards_it_and_sigterm_ends_it(script: str, clean: Mapping[str, str]) -> None:
    env = {**clean, "SPECCAS_API_KEY": "secret"}
    with serving(script, env, "--cors", "http://page.example") as served:
        assert httpx.get(f"{served.url}/models").status_code == 401
        wrong = httpx.get(f"{served.url}/models", headers={"Authorization": "Bearer other"})
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        right = {"Authorization": "Bearer secret", "Host": "any.example", "Origin": "http://page.example"}
        found = httpx.get(f"{served.url}/models", headers=right)
        assert found.json()["data"][0]["id"] == "tiny"
        assert found.headers["access-control-allow-origin"] == "http://page.example"
        assert httpx.get(f"{served.root}/health").status_code == 200
        assert served.end(signal.SIGTERM) == 143
        began, *refused = served.log.read_text().splitlines()
        assert began == f"serving tiny at {served.url}, a page to chat in at {served.root}/; Ctrl-C ends it"
        assert [line.split()[:3] for line in refused] == [["GET", "/v1/models", "401"]] * 2


@pytest.mark.tiny
def test_the_running_answer_may_end_before_the_server_does(script: str, clean: Mapping[str, str]) -> None:
    """What waits is told so at once."""
    with serving(script, clean, "--grace", "60") as served:
        with client(served, "Count.", **ENDLESS | {"max_tokens": 40}) as running, client(served, "Wait.") as waiting:
            assert running.recv(20).startswith(b"HTTP/1.1 200")
            served.process.send_signal(signal.SIGTERM)
            assert "the server is shutting down" in all_of(waiting)
            told = all_of(running)
        assert "[DONE]" in told and '"finish_reason":"length"' in told
        assert served.process.wait(60) == 143


@pytest.mark.tiny
def test_what_takes_longer_than_its_grace_is_cut(script: str, clean: Mapping[str, str]) -> None:
    with serving(script, clean, "--grace", "0.2") as served:
        with client(served, "Count.", **ENDLESS) as running:
            assert running.recv(20).startswith(b"HTTP/1.1 200")
            served.process.send_signal(signal.SIGTERM)
            told = all_of(running)
        assert "the answer was cut off" in told and "[DONE]" not in told
        assert served.process.wait(60) == 143


@pytest.mark.tiny
def test_a_signal_while_the_pair_is_loaded_again(script: str, clean: Mapping[str, str]) -> None:
    with serving(script, clean) as served:
        with client(served, "Count.", **ENDLESS) as running:
            assert running.recv(20).startswith(b"HTTP/1.1 200")
            os.kill(served.worker, signal.SIGKILL)
            assert "ended in the middle" in all_of(running)
        assert served.end(signal.SIGINT) == 130
        began, told = served.log.read_text().splitlines()
        assert (
            began == f"serving tiny at {served.url}, a page to chat in at {served.root}/; Ctrl-C ends it"
            and "ended in the middle" in told
        )


def test_settings_that_no_answer_can_have_are_told_at_once(speccas: Run) -> None:
    done = speccas("serve", "--port", "0", "--test", "block", "--budget", "2")
    assert done.returncode == 2 and done.stderr.startswith("error: a budget is kept token by token")


def test_a_port_that_is_taken_is_told_at_once(speccas: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = speccas("serve", "--port", port)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"error: cannot listen at 127.0.0.1 port {port}: Address already in use"


@pytest.mark.parametrize("flags", [("--api-key", ""), ("--api-key", "a\nb"), ("--host", "no.such.host.invalid")])
def test_what_cannot_be_served(speccas: Run, flags: tuple[str, ...]) -> None:
    done = speccas("serve", "--port", "0", *flags)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr


def test_a_pair_that_is_not_there(speccas: Run) -> None:
    done = speccas("serve", "--port", "0", "--drafter", "no.gguf", "--expert", "no.gguf")
    assert done.returncode == 2 and "no.gguf" in done.stderr and "Traceback" not in done.stderr
