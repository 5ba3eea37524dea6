"""Shared fixtures: real pairs, loaded once a session. Knows where their files are, not what is tested on them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from speccas.core.errors import Unavailable
from speccas.core.files.profiles import Profile, find_profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.pair import Pair, load_pair
from tests.builders.models import FETCHED, QWEN_DRAFTER, QWEN_EXPERT
from tests.hub_server import Hub, running

# A job in the background starts with Ctrl-C ignored, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "speccas", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)  # a slow machine is no fault
settings.load_profile("speccas")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs the real pair or workers is slow; before `-m` chooses."""
    for item in items:
        if any(map(item.get_closest_marker, ("real", "rpc"))) or "real" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of workers fail where they were to run and cannot: .ci/run says so."""
    if item.get_closest_marker("rpc"):
        from speccas.core.runtime.rpc.library import has_rpc

        if not has_rpc():
            lacking = "this llama.cpp is built without RPC: scripts/rpc_venv.sh makes an environment with it"
            (pytest.fail if os.environ.get("SPECCAS_TEST_RPC") else pytest.skip)(lacking)


@pytest.fixture(scope="session")
def tiny() -> Iterator[Pair]:
    """The pair tiny-model on one thread: two models, each of which writes by itself."""
    try:
        pair = load_pair(find_profile("tiny-model"), LoadOptions(threads=1))
    except Unavailable as missing:
        pytest.skip(missing.message)
    with pair:
        yield pair


@pytest.fixture(scope="session")
def real() -> Iterator[Pair]:
    """The Qwen pair on one thread, where somebody has fetched it."""
    if not (QWEN_DRAFTER.is_file() and QWEN_EXPERT.is_file()):
        pytest.skip(f"no Qwen pair in {FETCHED}")
    profile = Profile("qwen", Source(path=str(QWEN_DRAFTER)), Source(path=str(QWEN_EXPERT)))
    with load_pair(profile, LoadOptions(threads=1)) as pair:
        yield pair


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A model hub of our own, for this process and for children; its cache, lock and config are in `tmp_path`."""
    from huggingface_hub import constants

    from speccas.core.files import transfer

    with running() as server:
        for name, value in server.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf/hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf/token"))
        monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
        monkeypatch.setattr(transfer, "WAIT", 0.01)
        yield server
