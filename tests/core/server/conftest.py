"""One server of the tiny pair for all tests of the endpoint, and clients that people use."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec

import pytest

from tests.builders.models import smollm2
from tests.builders.served import Served, serving
from tests.cli.conftest import clean, script, speccas

__all__ = ["clean", "script", "speccas"]
NEEDED = ("starlette", "uvicorn", "openai", "httpx")
collect_ignore_glob = ["test_*"] * any(find_spec(each) is None for each in NEEDED)


@pytest.fixture(scope="session")
def served(script: str, clean: Mapping[str, str]) -> Iterator[Served]:
    """Fixed drafts, so that a seed means one text."""
    if smollm2() is None:
        pytest.skip("needs the tiny extra")
    with serving(script, clean, "--rule", "token:0.3", "--queue", "4") as server:
        yield server
