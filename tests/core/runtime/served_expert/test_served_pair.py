"""A pair whose expert a server runs: the text of the expert here, whatever the network does, or a clear error.

Real sockets, a real small model behind them; see conftest.py.
"""

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speccas.core.calibration.planner import Planner, Wanted, key_of
from speccas.core.conversation.transcript import Conversation
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.events import Event, Finish, Finished, Judged, Started
from speccas.core.decoding.sampling import Sampling
from speccas.core.decoding.sparse import SparseDistribution
from speccas.core.errors import (
    AccessRefused,
    CannotPair,
    ContextFull,
    ExpertLost,
    NotSent,
    RequestRefused,
    ServerRefuses,
    Stopped,
    UsageError,
    WrongAnswer,
)
from speccas.core.files.profiles import Profile
from speccas.core.files.source import Source
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.record.manifest import manifest
from speccas.core.record.metrics import Fold
from speccas.core.runtime.generate import Length, PromptRead, generate
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.served_expert import connection
from speccas.core.runtime.served_expert.connection import Connection, checked_url
from speccas.core.runtime.served_expert.connection import key_of as checked_key
from speccas.core.runtime.served_expert.load import APIS
from speccas.core.runtime.served_expert.vllm import PATH
from speccas.core.runtime.stop import StopFlag
from speccas.core.session import Asking, Session
from tests.builders.expert_server import Carried, ExpertServer, Fault, listening
from tests.builders.loaded import answered, asked
from tests.builders.models import TINY
from tests.core.runtime.served_expert.conftest import Served

QUESTION = "Tell me what a harbour is, and why a ship needs one."
pytestmark = pytest.mark.tiny
BOTH = ["sglang", pytest.param("vllm", marks=pytest.mark.slow)]
"""Both kinds, of what takes long."""


def ids(events: Sequence[Event]) -> list[int]:
    return [token.id for event in events if isinstance(event, Judged) for token in event.tokens]


def written(pair: Pair, arm: str, tokens: int = 20, **how: Any) -> list[int]:
    return ids(answered(pair, asked(pair, QUESTION), arm, tokens, **how))


WHOLE: list[int] = []


def whole_of(local: Pair) -> list[int]:
    """What the expert here writes, once."""
    WHOLE[:] = WHOLE or written(local, "expert")
    return WHOLE


def told(events: list[Event], playing: Any) -> None:
    events.extend(event for event in playing if not isinstance(event, PromptRead))


# --- the same text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", BOTH)
def test_greedy_exact_writes_what_the_expert_here_writes(api: str, served: Served, local: Pair) -> None:
    pair, server = served(api)
    alone = written(local, "expert", 24)
    assert pair.files["expert"].path.name == "tiny-expert" and pair.sent == 20
    for arm, k in (("exact", 4), ("expert", 4), ("exact", 7), ("exact", 1)):  # the second reads what was read before
        assert written(pair, arm, 24, k=k) == alone
    for arm in ("confidence", "token", "token-q", "lossy", "bild", "top-k:3"):
        assert written(pair, arm, 12, k=4) == written(local, arm, 12, k=4)
    assert {path for path, _ in server.asked} <= {
        "/v1/models", "/tokenize", "/detokenize", "/generate" if api == "sglang" else "/inference/v1/generate",
    }  # fmt: skip


@pytest.mark.parametrize("api", APIS)
def test_the_text_is_read_once(api: str, served: Served) -> None:
    """A round computes its draft and no more than a block of the prefix cache besides."""
    pair, server = served(api)
    prompt = asked(pair, QUESTION)
    written(pair, "exact", 8)
    server.computed, server.asked[:] = 0, []
    found = answered(pair, prompt.then([]), "exact", 40)
    rounds = [event for event in found if isinstance(event, Judged)]
    block = 1 if api == "sglang" else 16
    again = len(prompt.ids) if api == "vllm" else 0  # once, since the same text was verified before
    assert server.computed <= again + sum(each.drafted + 1 + block for each in rounds) + block
    assert len(server.asked) <= len(rounds) + 2


@pytest.mark.parametrize("api", BOTH)
def test_what_was_written_is_scored_as_here(api: str, served: Served, local: Pair) -> None:
    pair, _ = served(api)
    prompt = asked(local, QUESTION).ids
    answer = written(local, "drafter", 24)
    here, there = (mean_log_prob(each.expert, prompt, answer) for each in (local, pair))
    assert here is not None and there == pytest.approx(here, abs=1e-4)


@pytest.mark.parametrize("api", APIS)
def test_what_the_figures_say(api: str, served: Served) -> None:
    pair, _ = served(api)
    fold, events = Fold(), answered(pair, asked(pair, QUESTION), "exact", 20)
    for event in events:
        fold(event)
    started = next(event for event in events if isinstance(event, Started))
    assert pair.step_cost is None and started.step_cost is None
    figures = fold.figures()
    assert figures.speedup_if_flat is None and figures.expert_logprob is not None
    facts = manifest(pair, 4, "off", Sampling(), "speccas run").expert
    assert facts.file == "tiny-expert" and facts.sha256 is None and facts.parameters == 0 and facts.quant == ""
    assert facts.server is not None and facts.server.startswith(f"{api} at http://127.0.0.1:")


def test_a_detailed_run_has_its_numbers(served: Served, local: Pair) -> None:
    def details(pair: Pair) -> list[Any]:
        prompt = asked(pair, QUESTION)
        events = generate(pair, prompt, parse_arm("token"), length=Length(12), detail=True)
        return [token for event in events if isinstance(event, Judged) for token in event.tokens]

    pair, _ = served("sglang")
    for here, there in zip(details(local), details(pair), strict=True):
        assert there.id == here.id and there.p == pytest.approx(here.p, rel=1e-3)
        assert [i for i, _, _ in there.expert_top] == [i for i, _, _ in here.expert_top]
        assert there.opinion is not None and there.opinion.rule == "token" and len(there.others) < len(here.others)


@pytest.mark.parametrize("sampling", [Sampling(1.0, test="token", seed=3), Sampling(0.7, top_k=12, test="token")])
@pytest.mark.parametrize("api", BOTH)
def test_chance_decides_too(api: str, sampling: Sampling, served: Served) -> None:
    """The distributions are in test_served_distribution.py; here it runs over a whole vocabulary."""
    pair, _ = served(api)
    for arm in ("exact", "token", "expert", "token-safe"):
        assert len(written(pair, arm, 12, sampling=sampling)) == 12


# --- what a server must be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", BOTH)
def test_how_much_of_a_row_is_told(api: str, served: Served) -> None:
    for most, sent in ((100, 64), (2, 2)):
        pair, _ = served(api, most=most)
        assert pair.sent == sent
        assert written(pair, "exact", 6)


def test_one_number_of_a_row_is_too_little(served: Served) -> None:
    with pytest.raises(RequestRefused):
        served("vllm", most=1)


@pytest.mark.parametrize("api", APIS)
def test_a_server_that_reads_all_again_is_refused(api: str, served: Served) -> None:
    with pytest.raises(RequestRefused, match="reads the whole text again"):
        served(api, caching=False)


def test_a_vllm_that_does_not_say_what_it_computed_is_refused(served: Served) -> None:
    with pytest.raises(RequestRefused) as refused:
        served("vllm", details=False)
    assert refused.value.facts["setup"] == "enable-prompt-tokens-details"


@pytest.mark.parametrize("api", APIS)
def test_another_vocabulary_is_refused(api: str, served: Served) -> None:
    with pytest.raises(CannotPair, match="other tokens than the drafter") as refused:
        served(api, drafter=TINY)  # it has fewer
    assert refused.value.exit_code == 7


@pytest.mark.parametrize("what", ["tokenize", "piece"])
def test_tokens_that_are_nearly_the_same_are_refused(
    what: str, served: Served, brain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = getattr(brain, what)
    swapped: Callable[[Any], Any] = {
        "tokenize": lambda text: [token + (token == 253) for token in whole(text)],
        "piece": lambda token: whole(token).replace(b"e", b"a"),
    }[what]
    monkeypatch.setattr(brain, what, swapped)
    with pytest.raises(CannotPair, match="other tokens than the drafter"):
        served("sglang", new=True)


def test_a_head_has_nothing_to_draft_from(expert_file: Path) -> None:
    with listening(ExpertServer(None)) as url, pytest.raises(CannotPair, match="hidden states"):  # type: ignore[arg-type]
        load_pair(Profile("x", Source(head="inside"), Source(url=url, api="vllm")))


def test_nothing_listens(drafter_file: Path) -> None:
    with pytest.raises(ExpertLost, match=r"http://127.0.0.1:9 does not answer") as lost:
        load_pair(Profile("x", Source(path=str(drafter_file)), Source(url="http://127.0.0.1:9", api="vllm")))
    assert lost.value.exit_code == 3


@pytest.mark.parametrize(
    "url",
    ["", "host:80", "ftp://host", "http://", "http://a b", "http://me:secret@host", "http://host?x=1", "http://host:x"],
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked_url(url)
    assert "secret" not in refused.value.message


def test_an_address_as_clients_write_it() -> None:
    assert checked_url("https://host/base/v1/") == "https://host/base"
    assert checked_url("http://[::1]:80") == "http://[::1]:80"


def test_a_kind_that_is_none(drafter_file: Path) -> None:
    for api, told_of in (("llama-server", "cannot verify"), ("vlm", "did you mean 'vllm'")):
        with pytest.raises(UsageError) as refused:
            load_pair(Profile("x", Source(path=str(drafter_file)), Source(url="http://127.0.0.1:9", api=api)))
        assert told_of in f"{refused.value.message} {refused.value.hint}"


# --- the key ----------------------------------------------------------------------------------------------------------

KEY = "sk-very-secret-1234"


def test_the_key_goes_along_and_is_never_told(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECCAS_EXPERT_KEY", KEY)
    pair, server = served("vllm", key=KEY)
    assert set(server.keys) == {f"Bearer {KEY}"}
    server.faults.extend([Fault(status=418)])  # its words repeat the authorization
    with pytest.raises(RequestRefused) as refused:
        written(pair, "exact")
    assert KEY not in refused.value.message and "***" in refused.value.message
    assert KEY not in str(manifest(pair, 4, "off", Sampling(), "")) + key_of(pair)


@pytest.mark.parametrize(("sent", "words"), [("", "wants a key"), ("another", "refuses the key")])
def test_a_wrong_key(sent: str, words: str, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECCAS_EXPERT_KEY", sent)
    with pytest.raises(AccessRefused, match=words) as refused:
        served("sglang", key=KEY)
    assert refused.value.exit_code == 4 and "another" not in refused.value.message


@pytest.mark.parametrize("key", ["two words", "zwölf", "a\tb"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked_key({"SPECCAS_EXPERT_KEY": key})
    assert key not in refused.value.message


def test_a_key_is_sent_nowhere_else() -> None:
    away = ExpertServer(None)  # type: ignore[arg-type]
    with listening(away) as other:
        server = ExpertServer(None)  # type: ignore[arg-type]
        server.faults.append(Fault(status=307, headers={"Location": other + "/generate"}))
        asking = Connection("http://expert", StopFlag(), KEY, Carried(server))
        with pytest.raises(RequestRefused, match=r"on to http://127\.0\.0\.1"):
            asking.post("/generate", {})
    assert not away.asked


# --- what goes wrong and passes ---------------------------------------------------------------------------------------

PASSING = {
    "busy": Fault(status=429, headers={"Retry-After": "0"}),
    "failed": Fault(status=500),
    "a gateway": Fault(status=502),
    "down": Fault(status=503, headers={"Retry-After": "never"}),
    "late": Fault(status=504),
    "dropped": Fault(drop=True),
    "cut short": Fault(cut=40),
    "slow": Fault(delay=0.3),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_changes_nothing(name: str, served: Served, local: Pair) -> None:
    pair, server = served("sglang" if len(name) % 2 else "vllm")
    server.faults.extend([Fault(), Fault(), PASSING[name], Fault(), PASSING[name], PASSING[name]])
    assert written(pair, "exact") == whole_of(local)


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop=True)])
@pytest.mark.parametrize("api", APIS)
def test_what_stays_ends_the_answer(api: str, fault: Fault, served: Served, local: Pair) -> None:
    """What was written is told first; then the error; and the pair goes on when the server is back."""
    pair, server = served(api)
    server.faults.extend([Fault(), Fault(), Fault(), *[fault] * 5])
    events: list[Event] = []
    with pytest.raises(ExpertLost):
        told(events, generate(pair, asked(pair, QUESTION), parse_arm("exact"), length=Length(20)))
    assert isinstance(events[-1], Finished) and events[-1].finish is Finish.INTERRUPTED
    whole = whole_of(local)
    assert 0 < len(ids(events)) < 20 and ids(events) == whole[: len(ids(events))]
    assert not server.faults
    assert written(pair, "exact") == whole


# --- answers that cannot be right -------------------------------------------------------------------------------------


def in_sglang(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    def mangle(found: Any) -> Any:
        change(found["meta_info"])
        return found

    return mangle


def in_vllm(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    def mangle(found: Any) -> Any:
        change(found)
        return found

    return mangle


def put(place: Sequence[Any], value: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        for step in place[:-1]:
            found = found[step]
        found[place[-1]] = value

    return change


LAST = ("choices", 0, "logprobs", "content", 0)
WRONG: dict[str, tuple[str, Fault]] = {
    "no JSON": ("sglang", Fault(body=b"<html>hello</html>")),
    "half of it": ("vllm", Fault(body=b'{"choices": [')),
    "a text": ("sglang", Fault(body=b'"hello"')),
    "nothing": ("vllm", Fault(body=b"null")),
    "no rows": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs"], None)))),
    "other ids": ("sglang", Fault(mangle=in_sglang(put(["input_token_logprobs", -1], [-1.0, 7, None])))),
    "fewer rows": ("sglang", Fault(mangle=in_sglang(lambda meta: meta["input_top_logprobs"].pop()))),
    "not a number": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs", 0, 3, 0], math.nan)))),
    "a logit": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs", 0, 0, 0], 17.2)))),
    "a token of nobody": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs", 0, 0, 1], 10**6)))),
    "a token below 0": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs", 0, 0, 1], -1)))),
    "no token": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs", 0, 0, 1], "x")))),
    "too much": ("sglang", Fault(mangle=in_sglang(put(["output_top_logprobs", 0, 7, 0], 0.0)))),
    "a short row": ("sglang", Fault(mangle=in_sglang(lambda meta: meta["output_top_logprobs"][0].pop()))),
    "no prompt": ("vllm", Fault(mangle=in_vllm(put(["prompt_logprobs"], None)))),
    "an empty row": ("vllm", Fault(mangle=in_vllm(put(["prompt_logprobs", -1], None)))),
    "rows of others": ("vllm", Fault(mangle=in_vllm(put(["prompt_logprobs", -1], {"7": {"logprob": -1.0}})))),
    "no id": ("vllm", Fault(mangle=in_vllm(put(["prompt_logprobs", -1], {"x": {"logprob": -1.0}})))),
    "a NaN there": ("vllm", Fault(mangle=in_vllm(put([*LAST, "top_logprobs", 2, "logprob"], math.nan)))),
    "a truth": ("vllm", Fault(mangle=in_vllm(put([*LAST, "token_id"], True)))),
    "no choice": ("vllm", Fault(mangle=in_vllm(put(["choices"], [])))),
    "no content": ("vllm", Fault(mangle=in_vllm(put(["choices", 0, "logprobs"], None)))),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_answer_that_cannot_be_right(name: str, served: Served, local: Pair) -> None:
    api, fault = WRONG[name]
    pair, server = served(api)
    server.faults.extend([Fault(), Fault(), fault])
    events: list[Event] = []
    with pytest.raises(WrongAnswer) as wrong:
        told(events, generate(pair, asked(pair, QUESTION), parse_arm("exact"), length=Length(20)))
    assert wrong.value.exit_code == 1 and "\n" not in wrong.value.message
    whole = whole_of(local)
    assert isinstance(events[-1], Finished) and ids(events) == whole[: len(ids(events))]
    assert written(pair, "exact") == whole


def test_a_text_longer_than_the_server_takes(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, server = served("vllm", new=True)
    monkeypatch.setattr(server.brain, "context", 60)
    with pytest.raises(RequestRefused, match="maximum context length exceeded"):
        written(pair, "exact", 100)


def test_the_context_is_the_smaller_one(served: Served, brain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain, "context", 300)
    pair, _ = served("sglang", new=True)
    assert pair.files["expert"].header.metadata["served.context_length"] == 300
    with pytest.raises(ContextFull):
        pair.expert.extend([1] * 2000, rows=0)


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("waits", [Fault(delay=3600.0), Fault(status=429, headers={"Retry-After": "3600"})])
def test_ctrl_c_ends_a_wait(waits: Fault, served: Served, local: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take an hour otherwise."""
    monkeypatch.setattr(connection, "LONGEST_PAUSE", 3600.0)
    pair, server = served("sglang")
    server.faults.extend([Fault(), Fault(), waits])

    def stop() -> None:
        while server.faults:  # the last one is being waited for then
            time.sleep(0.02)
        time.sleep(0.2)
        pair.stop.set()

    stopper = threading.Thread(target=stop, daemon=True)
    stopper.start()
    events: list[Event] = []
    told(events, generate(pair, asked(pair, QUESTION), parse_arm("exact"), length=Length(20)))
    stopper.join()
    assert isinstance(events[-1], Finished) and events[-1].finish is Finish.INTERRUPTED
    pair.stop.clear()
    assert written(pair, "exact") == whole_of(local)


def test_a_stop_before_the_first_word(served: Served) -> None:
    pair, _ = served("sglang")
    pair.stop.set()
    with pytest.raises(Stopped):
        written(pair, "exact")


# --- a chat -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", BOTH)
def test_a_chat_goes_on_when_the_server_is_back(api: str, served: Served, local: Pair) -> None:
    def session(pair: Pair) -> Session:
        asking = Asking(parse_arm("exact"), Sampling(), Length(16), Wanted(4, "off"))
        return Session(pair, asking, Conversation(""))

    pair, server = served(api)
    there, here = session(pair), session(local)
    for each in (there, here):
        list(each.ask("What is a harbour?"))
    server.faults.extend([Fault(), Fault(), *[Fault(status=503)] * 5])
    with pytest.raises(ExpertLost):
        list(there.ask("And a pier?"))
    assert [turn.seen for turn in there.conversation.turns] == [True, False]
    assert there.conversation.turns[1].answer, "what was written is in the file"
    for each in (there, here):
        list(each.ask("And a lighthouse?"))
    seen = [[turn.answer for turn in each.conversation.turns if turn.seen] for each in (there, here)]
    assert seen[0] == seen[1]


def test_why_is_told_of_a_served_answer(served: Served) -> None:
    pair, _ = served("sglang")
    session = Session(pair, Asking(parse_arm("token"), Sampling(), Length(12), Wanted(4, "off")), Conversation(""))
    list(session.ask("What is a harbour?"))
    judged = session.why(3)
    assert all(token.expert_top and token.opinion for token in judged.tokens)


# --- planning ---------------------------------------------------------------------------------------------------------


def test_the_automatic_length_learns_the_way_there(served: Served, tmp_path: Path) -> None:
    pair, server = served("sglang")
    prompt = asked(pair, QUESTION)
    planner = Planner(pair, tmp_path / "curves.json")
    server.faults.extend([Fault()] + [Fault(delay=0.2)] * 40)
    events = generate(pair, prompt, parse_arm("exact"), None, Length(6), planner.drafting(Wanted("auto", "off")))
    assert len(ids(list(events))) == 6  # type: ignore[arg-type]
    assert planner.latency is not None and planner.latency.verify(1) > 0.1, "the delay is in every call"
    assert pair.expert.prefill_token < 0.1
    planner.save()
    kept = (tmp_path / "curves.json").read_text()
    assert "sglang at http://127.0.0.1" in kept and "tiny-expert" in kept
    assert Planner(pair, tmp_path / "curves.json").latency is not None


def test_what_this_expert_cannot_judge_is_refused(served: Served) -> None:
    pair, server = served("sglang")
    before = len(server.asked)
    for arm, sampling in (("typical", Sampling()), ("exact", Sampling(0.7)), ("bild", Sampling(1.0, test="token"))):
        with pytest.raises(ServerRefuses):
            written(pair, arm, sampling=sampling)
    assert len(server.asked) == before, "before the first token"


# --- the cache of ids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", BOTH)
def test_the_contract_of_a_language_model(api: str, served: Served, local: Pair) -> None:
    pair, server = served(api)
    expert, here = pair.expert, local.expert
    text = list(asked(pair, QUESTION).ids)[:30]
    here.truncate(0)
    expert.truncate(0)
    assert len(expert.extend(text[:20], rows=0)) == 0 and len(expert) == 20
    expert.truncate(9)
    rows = expert.extend(text[9:14], rows=5)
    here.extend(text[:9], rows=0)
    dense = here.extend(text[9:14], rows=5)
    for row, logits in zip(rows, dense, strict=True):
        assert isinstance(row, SparseDistribution)
        wanted = np.asarray(logits, dtype=np.float64)
        wanted -= wanted.max() + math.log(np.exp(wanted - wanted.max()).sum())
        assert row.argmax == int(wanted.argmax()) and len(row) == len(wanted)
        assert row.log_prob(int(wanted.argmin())) == pytest.approx(wanted.min(), abs=1e-3), "asked for"
        for attribute in ("logits", "entropy"):
            with pytest.raises(NotSent):
                getattr(row, attribute)
        with pytest.raises(NotSent):
            row.all()
        with pytest.raises(NotSent):
            row.sampled(Sampling(0.7))
    kept = expert.snapshot()
    server.faults.append(Fault(status=400))
    with pytest.raises(RequestRefused):
        expert.extend(text[14:16], rows=2)
    assert len(expert) == 14, "a true prefix"
    expert.truncate(0)
    expert.put_back(kept)
    assert len(expert) == 14 and expert.reach(99) == 14
    with pytest.raises(ValueError, match="at most"):
        expert.extend([1, 2], rows=3)


@pytest.mark.parametrize("times", [1, 3])
def test_rows_that_a_server_never_wrote_are_asked_for_again(
    times: int, served: Served, local: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM refuses its own answer where such a row holds no number; in the end all rows are computed."""
    pair, server = served("vllm")
    faults = [Fault(status=400, words="Out of range float values are not JSON compliant")] * times
    server.asked.clear()
    server.faults.extend([Fault(), *faults])
    assert written(pair, "exact") == whole_of(local)
    read = [data["sampling_params"]["skip_reading_prefix_cache"] for path, data in server.asked if path == PATH]
    assert sum(read) == (times == 3) and not server.faults
