"""What is told while there is no pair to answer: the application in this process, on a line that nobody works on."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx

from speccas.core.calibration.planner import Wanted
from speccas.core.decoding.sampling import Sampling
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.runtime.backend import LoadOptions
from speccas.core.runtime.generate import Length
from speccas.core.server.access import Access
from speccas.core.server.answers import AnswerForm
from speccas.core.server.app import Service, make_app
from speccas.core.server.asked import Defaults, read
from speccas.core.server.catalogue import Catalogue
from speccas.core.server.exchange import Exchange
from speccas.core.server.handled import Handled
from speccas.core.server.line import Line, Worker

CATALOGUE, DEFAULTS = Catalogue("pair", 0), Defaults(Sampling(), Length(), Wanted())


def idle_line(**state: Any) -> Line:
    profile = Profile("pair", Source(path="drafter.gguf"), Source(path="expert.gguf"))
    return Line(Worker(profile, LoadOptions()), 8, **state)


def test_a_stream_that_waits_gets_comments_until_it_leaves() -> None:
    line, sent = idle_line(), []
    body = {"messages": [{"role": "user", "content": "Hi."}], "stream": True}
    question, telling = read(body, True, CATALOGUE, DEFAULTS, lambda: 1)

    async def ask() -> None:
        heard = asyncio.Event()

        async def receive() -> MutableMapping[str, Any]:
            await heard.wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message.get("body", message.get("status")))
            if sent.count(b": waiting\n\n") == 3:
                assert len(line.waiting) == 1
                heard.set()

        exchange = Exchange(line, question, AnswerForm("id", 0, telling, 1), Handled("POST", "", 0.0), ping=0.01)
        await asyncio.wait_for(exchange({"type": "http"}, receive, send), 60)

    asyncio.run(ask())
    assert sent[:2] == [200, b": waiting\n\n"] and b'"role":"assistant"' in sent[2] and sent[3:5] == sent[1:2] * 2
    assert not line.waiting


def test_health_says_that_the_pair_is_loaded_again() -> None:
    async def health(line: Line) -> httpx.Response:
        app: Any = make_app(Service(line, CATALOGUE, DEFAULTS, lambda: 1), Access("", frozenset({"here"})))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as asking:
            return await asking.get("/health")

    assert asyncio.run(health(idle_line())).json() == {"status": "ok"}
    loading = asyncio.run(health(idle_line(loading=True)))
    assert loading.status_code == 503 and loading.headers["retry-after"]
