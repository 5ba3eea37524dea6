"""What a server tells of its requests: traces, metrics and the log."""

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from speccas.core.calibration.planner import Wanted
from speccas.core.decoding.events import Started
from speccas.core.decoding.sampling import Sampling
from speccas.core.record.manifest import Manifest
from speccas.core.runtime.generate import Length
from speccas.core.server.api_error import ApiError
from speccas.core.server.asked import Defaults, read
from speccas.core.server.catalogue import Catalogue
from speccas.core.server.handled import Handled
from speccas.core.server.traces import Traces
from tests.builders.served import ENDLESS, Served, all_of, client, serving


def ask(served: Served, text: str, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 8, "temperature": 0, **fields}
    found: dict[str, Any] = httpx.post(f"{served.url}/chat/completions", json=body, timeout=60).json()
    return found


def metrics(served: Served) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels."""
    text = httpx.get(f"{served.root}/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def test_a_trace_is_one_that_replay_plays(
    served: Served, speccas: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    answer = ask(served, "Name three fruits.", speccas={"rule": "token:0.3", "statuses": True}, seed=3, min_p=0.1)
    trace = httpx.get(f"{served.url}/speccas/trace/{answer['id']}")
    assert trace.headers["content-type"] == "application/jsonl"
    file = tmp_path / "answer.jsonl"
    file.write_text(trace.text)
    said = answer["choices"][0]["message"]["content"]
    played = speccas("replay", str(file), "--no-live")
    shown = re.sub(r"[][+‹›]", "", played.stdout)
    assert played.returncode == 0 and said.split()[0] in shown and "token:0.3" in shown
    lines = [json.loads(line) for line in trace.text.splitlines()]
    manifest = lines[0]["manifest"]
    assert lines[0]["prompt"] == "Name three fruits." and manifest["seed"] == 3 and manifest["min_p"] == 0.1
    assert manifest["pair"] == "tiny" and manifest["expert"]["parameters"] == 134515008
    statuses = [token["status"] for line in lines if line["type"] == "round" for token in line["tokens"]]
    assert statuses == [token["status"] for token in answer["speccas"]["tokens"]]
    assert lines[-1]["type"] == "finished" and lines[-1]["text"] == said


def test_a_manifest_says_all_of_how_tokens_are_drawn() -> None:
    """What the server was started with and a request cannot set, too."""
    defaults = Defaults(Sampling(0.5, test="token", budget=2.0), Length(), Wanted(3))
    body = {"messages": [{"role": "user", "content": "Hi."}], "top_k": 4}
    told = read(body, True, Catalogue("pair", 0), defaults, lambda: 9)[0].as_manifest()
    assert set(told) <= {each.name for each in fields(Manifest)}
    assert told.items() >= {"k": 3, "temperature": 0.5, "top_k": 4, "seed": 9, "test": "token", "budget": 2.0}.items()


def test_a_trace_that_is_not_there(served: Served) -> None:
    found = httpx.get(f"{served.url}/speccas/trace/chatcmpl-none")
    assert found.status_code == 404 and found.json()["error"]["code"] == "trace_not_found"


def test_only_the_last_answers_keep_their_trace() -> None:
    traces = Traces(most=2)
    for name in ("a", "b", "c"):
        handled = Handled("POST", "", 0.0, id=name)
        handled.fold(Started("exact", "exact", None, 4, 1))
        traces.note(handled)
    traces.note(Handled("POST", "", 0.0, id="refused"))
    for name in ("a", "refused"):
        with pytest.raises(ApiError, match="no answer"):
            traces.text(name, {})


def test_metrics_count_what_was_asked_and_written(served: Served) -> None:
    ask(served, "Hello.")
    before = metrics(served)
    answers = [ask(served, "Name a colour.", max_tokens=12), ask(served, "Name a colour.", max_tokens=12)]
    ask(served, "Name a colour.", n=2)
    httpx.get(f"{served.root}/nothing/here")
    after = metrics(served)

    def more(*key: str) -> float:
        return after.get(key, 0.0) - before.get(key, 0.0)

    asked = "/v1/chat/completions"
    assert more("speccas_requests_total", asked, "200") == 2 and more("speccas_requests_total", asked, "400") == 1
    assert more("speccas_requests_total", "other", "404") == 1
    usage = [answer["usage"] for answer in answers]
    written = sum(each["completion_tokens"] for each in usage)
    assert sum(more(*key) for key in after if key[0] == "speccas_tokens_total") == written
    judged = sum(answer["speccas"]["judged"] for answer in answers)
    kinds = ("agreed", "kept", "deferred")
    assert sum(more("speccas_tokens_total", kind) for kind in kinds) == judged
    cached = sum(each["prompt_tokens_details"]["cached_tokens"] for each in usage)
    assert more("speccas_prompt_tokens_total", "cache") == cached > 0
    read = more("speccas_prompt_tokens_total", "read")
    assert read == sum(each["prompt_tokens"] for each in usage) - cached
    assert more("speccas_time_to_first_token_seconds_count") == more("speccas_waited_seconds_count") == 2
    assert 0 < after["speccas_acceptance",] < 1 and after["speccas_speedup",] > 0
    assert after["speccas_requests_waiting",] == after["speccas_requests_running",] == 0


@pytest.mark.tiny
def test_the_log_has_an_object_a_request_and_no_text_unless_asked(script: str, clean: Mapping[str, str]) -> None:
    flag = ["--api-key", "a-secret-key"]
    right = {"Authorization": "Bearer a-secret-key"}
    for flags, told in ((["--log-json"], False), (["--log-json", "--log-text"], True)):
        with serving(script, clean, *flag, *flags) as served:
            for path in ("metrics", "v1/speccas/trace/x"):
                assert httpx.get(f"{served.root}/{path}").status_code == 401
            body = {"messages": [{"role": "user", "content": "A\nhidden word"}], "max_tokens": 5, "temperature": 0}
            answer = httpx.post(f"{served.url}/chat/completions", json=body, headers=right, timeout=60).json()
            httpx.post(f"{served.url}/chat/completions", json={**body, "tools": [1]}, headers=right)
            trace = httpx.get(f"{served.url}/speccas/trace/{answer['id']}", headers=right).text
            assert trace.count("\n") > 2 and "a-secret-key" not in trace
            assert served.end() == 143
            log = served.log.read_text()
        lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        assert [(line["status"], line["path"]) for line in lines] == [
            (401, "/metrics"),
            (401, "/v1/speccas/trace/x"),
            (200, "/v1/chat/completions"),
            (400, "/v1/chat/completions"),
        ]
        found = lines[2]
        assert found["id"] == answer["id"] and found["model"] == "tiny" and found["finish"] == "length"
        assert found["tokens"] == 5 and found["prompt_tokens"] == answer["usage"]["prompt_tokens"]
        assert found["waited"] <= found["first"] <= found["seconds"] and lines[3]["error"].startswith("tools")
        assert "a-secret-key" not in log and ("hidden word" in log) is told
        if told:
            assert found["text"] == answer["choices"][0]["message"]["content"]
            assert found["messages"] == [{"role": "user", "content": "A\nhidden word"}]


@pytest.mark.tiny
def test_the_log_for_people_is_a_line_a_request(script: str, clean: Mapping[str, str]) -> None:
    with serving(script, clean) as served:
        answer = ask(served, "Hello.")
        with client(served, "Count.", **ENDLESS) as leaving:
            assert leaving.recv(20).startswith(b"HTTP/1.1 200")
        httpx.get(f"{served.root}/health")
        httpx.get(f"{served.root}/a%1b[31m")
        with client(served, "Hi.", max_tokens=1, temperature=0) as last:
            all_of(last)
        assert served.end() == 143
        lines = served.log.read_text().splitlines()
    assert len(lines) == 5 and lines[1].startswith(f"{answer['id']}  tiny  ")
    assert "8 tokens" in lines[1] and lines[1].endswith("length")
    assert "GET /a" in "".join(lines) and not any("\x1b" in line for line in lines)
    assert sum(line.endswith("left") for line in lines) == 1
