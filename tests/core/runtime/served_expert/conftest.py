"""A small model on a server of our own, and a drafter here with its vocabulary: the first layers of the same model."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.headers.gguf import read_header
from speccas.core.optimize.layers import cut_layers
from speccas.core.runtime.backend import LoadOptions, ModelFile
from speccas.core.runtime.llama import LlamaBackend
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.served_expert import connection
from speccas.core.runtime.served_expert.vllm import VLLMApi, new_salt
from tests.builders.expert_server import ExpertServer, ModelBrain, listening
from tests.builders.models import smollm2

LAYERS = 14


@pytest.fixture(scope="session")
def expert_file() -> Path:
    found = smollm2()
    if found is None:
        pytest.skip("needs the tiny extra")
    return found


@pytest.fixture(scope="session")
def drafter_file(expert_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half of the expert's layers: often right, by no means always."""
    target = tmp_path_factory.mktemp("drafter") / "half.gguf"
    cut_layers(expert_file, target, LAYERS)
    return target


@pytest.fixture(scope="session")
def brain(expert_file: Path) -> Iterator[ModelBrain]:
    weights = LlamaBackend().load(ModelFile(expert_file, read_header(expert_file), expert_file.stat().st_size))
    yield ModelBrain(weights)
    weights.close()


@pytest.fixture(scope="session")
def local(expert_file: Path, drafter_file: Path) -> Iterator[Pair]:
    """The same two models, both here."""
    profile = Profile("local", Source(path=str(drafter_file)), Source(path=str(expert_file)))
    with load_pair(profile, LoadOptions(threads=1, ctx=1024)) as pair:
        yield pair


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are sent again without waiting long."""
    monkeypatch.setattr(connection, "PAUSES", (0.0, 0.0, 0.0, 0.0))


Served = Callable[..., tuple[Pair, ExpertServer]]


@pytest.fixture(scope="session")
def kept(brain: ModelBrain, drafter_file: Path) -> Iterator[Served]:
    """A pair of each kind, loaded once."""
    made: dict[str, tuple[Pair, ExpertServer]] = {}
    with ExitStack() as opened:

        def get(api: str) -> tuple[Pair, ExpertServer]:
            if api not in made:
                server = ExpertServer(brain)
                url = opened.enter_context(listening(server))
                profile = Profile("served", Source(path=str(drafter_file)), Source(url=url, api=api))
                made[api] = opened.enter_context(load_pair(profile, LoadOptions(threads=1, ctx=1024))), server
            pair, server = made[api]
            server.faults.clear()
            if isinstance(pair.weights["expert"].api, VLLMApi):  # type: ignore[attr-defined]
                pair.weights["expert"].api.salt = new_salt()  # type: ignore[attr-defined] # nothing was read before
            pair.stop.clear()
            pair.clear()
            return pair, server

        yield get


@pytest.fixture
def served(brain: ModelBrain, drafter_file: Path, soon: None, kept: Served) -> Iterator[Served]:
    """A pair whose expert a server of this kind runs: the one that is there, or of its own where it is another one."""
    with ExitStack() as opened:

        def make(api: str, drafter: Path | None = None, new: bool = False, **how: object) -> tuple[Pair, ExpertServer]:
            if not (drafter or new or how):
                return kept(api)
            server, drafter = ExpertServer(brain, **how), drafter or drafter_file  # type: ignore[arg-type]
            url = opened.enter_context(listening(server))
            profile = Profile("served", Source(path=str(drafter)), Source(url=url, api=api))
            return opened.enter_context(load_pair(profile, LoadOptions(threads=1, ctx=1024))), server

        yield make
