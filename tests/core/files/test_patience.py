"""A hub that asks to be left alone for a while."""

import time
from email.utils import formatdate
from pathlib import Path

import pytest

from speccas.core.errors import Unavailable
from speccas.core.files.hub import look_up, pull
from speccas.core.files.patience import asked_for, require_short
from speccas.core.files.source import Source
from tests.hub_server import Hub

REPO, FILE = "owner/model-GGUF", "model-Q4_K_M.gguf"
SOURCE = Source(hf=REPO)
DATA = bytes(100_000)

Slept = list[float]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Slept:
    """Every wait of the hub's modules, none of which is waited."""
    found: Slept = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


def get() -> Path:
    return pull(SOURCE, look_up(SOURCE), "pair", lambda *_: None).paths[0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0), ({"Retry-After": "0"}, 0.0), ({}, None), ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None), ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0), ({"Retry-After": "9" * 400}, 999_999_999.0),
        ({"Retry-After": "\u0663"}, None),
    ],
)  # fmt: skip
def test_how_long_a_hub_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_for(headers) == seconds


def test_a_date_to_come() -> None:
    found = asked_for({"Retry-After": formatdate(time.time() + 1000, usegmt=True)})
    assert found is not None and 900 < found <= 1000


@pytest.mark.parametrize("at", ["listing", "file"])
def test_a_short_time_is_waited(hub: Hub, slept: Slept, at: str) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    if at == "listing":
        hub.refusals = [(429, {"Retry-After": "7"})] * 2
    else:
        served.statuses, served.headers = [429, 429], {"Retry-After": "7"}
    assert get().read_bytes() == DATA
    assert slept.count(7.0) == 2


@pytest.mark.parametrize("at", ["listing", "file"])
@pytest.mark.parametrize("token", ["", "hf_token"])
def test_a_long_time_is_told(hub: Hub, slept: Slept, monkeypatch: pytest.MonkeyPatch, at: str, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    if at == "listing":
        hub.refusals = [(429, {"Retry-After": "7200"})]
    else:
        served.statuses, served.headers = [429], {"Retry-After": "7200"}
    with pytest.raises(Unavailable, match="2 hours") as raised:
        get()
    assert 7200.0 not in slept
    assert ("with a token more is allowed" in raised.value.hint) is not bool(token)


def test_a_hub_that_never_stops_asking_is_left_alone(hub: Hub, slept: Slept) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.refusals = [(429, {"Retry-After": "1"})] * 50
    with pytest.raises(Unavailable, match="too often"):
        get()
    assert len(hub.seen) < 10


@pytest.mark.parametrize(
    ("seconds", "said"), [(31, "31 seconds"), (119.5, "120 seconds"), (600, "10 minutes"), (90_000, "25 hours")]
)
def test_how_long_is_said(seconds: float, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        require_short(seconds, token=True)


def test_what_is_short_is_not_told() -> None:
    for seconds in (None, 0.0, 30.0):
        require_short(seconds, token=False)
