"""With an expert of whom a server tells a few probabilities, what is written follows exactly what the rule promises.

The tables are those of tests/core/decoding/test_distribution.py, where the same rules run on all probabilities.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from speccas.core.decoding import verify
from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.drafts.lookup import PromptLookup
from speccas.core.decoding.engine import speculate
from speccas.core.decoding.events import Judged
from speccas.core.decoding.length.acceptance import LookupStatistics
from speccas.core.decoding.length.policy import FixedPolicy
from speccas.core.decoding.partly import refusal
from speccas.core.decoding.sampling import Distribution, Probabilities, Sampling
from speccas.core.decoding.table import TableModel
from speccas.core.decoding.thinning import from_rest
from speccas.core.runtime.served_expert.context import ServedContext
from speccas.core.runtime.served_expert.load import APIS
from speccas.core.runtime.stop import StopFlag
from tests.builders.expert_server import Direct, ExpertServer, TableBrain
from tests.core.decoding.toys import Joint, Toy, joint, near, p_value, play, table

SIZE, LENGTH, SAMPLES = 6, 2, 400
PROMPT = (0, 1)
LENGTHS_OF_DRAFT = (1, 2, 4)
LARGE = table(52, SIZE, order=2, spread=1.4)
SMALL = near(LARGE, 53, spread=1.2)
SENT = 3
PLAIN = Sampling(1.0, test="token", sent=SENT)
AMONG = Sampling(0.7, top_k=3, test="token", sent=SENT)
NARROW = Sampling(1.3, top_k=3, top_p=0.9, min_p=0.1, test="token", sent=SENT)
RULES = (
    "exact", "confidence:0.4", "entropy:1.0", "comparative:-0.1", "cost-benefit:0.25", "token", "token:0.95", "token-q",
    "token-margin:0.3", "token-safe", "top-k:2", "lossy", "ensemble:0.4", "cost-benefit:-0.4", "token:0", "lossy:0",
)  # fmt: skip
"""Those that may run, with alphas that this vocabulary does not make trivial; token:0.95 approves more than is sent."""


class Listed(Distribution):
    """All probabilities, of which the SENT most likely can stand on a list."""

    def lists(self, token: int) -> bool:
        return self.rank(token) < SENT

    def listed(self) -> Any:
        return np.where(self.ranks(SENT) < SENT, self.all(), -np.inf)


def context(api: str, server: ExpertServer | None = None, size: int = SIZE, sent: int = SENT) -> ServedContext:
    server = server or ExpertServer(TableBrain.of(LARGE, 2), most=sent)
    connection: Any = Direct(server)
    return ServedContext(APIS[api](connection, size), size, sent, 4096, 17, StopFlag())


def written(
    api: str, arm: str, sampling: Sampling, samples: int = SAMPLES, lookup: bool = False
) -> Counter[tuple[int, ...]]:
    """The answers of many runs, each with a seed and a draft length of its own."""
    expert = context(api)
    toy = Toy(TableModel(LARGE, 2), TableModel(SMALL, 2), pieces=[b"-"] * SIZE)
    toy.judge = expert
    toy.prefill(PROMPT)
    found: Counter[tuple[int, ...]] = Counter()
    for seed in range(samples):
        k = LENGTHS_OF_DRAFT[seed % len(LENGTHS_OF_DRAFT)]
        request = Request(PROMPT, replace(sampling, seed=seed), LENGTH)
        statistics = LookupStatistics() if lookup else None
        events = play(parse_arm(arm), FixedPolicy(k), expert, toy.drafter, request, toy.lexicon, toy.clock, statistics)
        found[tuple(token.id for event in events if isinstance(event, Judged) for token in event.tokens)] += 1
    return found


def promised(arm: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> Joint:
    """What the rule promises on all probabilities, its list cut to those that are sent."""
    found = parse_arm(arm).rule
    known = replace(sampling, sent=0)
    pi: Callable[[Any], Probabilities] = (lambda at: at.p) if found is None else found.pi
    real = joint.__globals__["Position"]
    with monkeypatch.context() as patch:
        patch.setitem(joint.__globals__, "Position", lambda q, p, s: real(q, Listed(p.logits), s))
        return joint(LARGE, SMALL, PROMPT, LENGTH, pi, known)


@pytest.mark.parametrize("sampling", [PLAIN, AMONG, NARROW], ids=["plain", "top-k", "filters"])
@pytest.mark.parametrize("arm", [*RULES, "expert", "token-cascade"])
def test_answers_follow_the_rule(arm: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = parse_arm(arm).rule
    if refusal(rule, sampling, SENT):
        assert "cost-benefit" in arm and sampling is PLAIN
        return
    api = ("sglang", "vllm")[(len(arm) + len(str(sampling))) % 2]  # test_both_kinds_write_the_same holds the other one
    if arm == "token-cascade":
        monkeypatch.setattr("speccas.core.decoding.baselines.LONGEST_RUN", 0)  # then the expert writes all
    assert p_value(written(api, arm, sampling), promised(arm, sampling, monkeypatch)) > 1e-4


@pytest.mark.parametrize("sampling", [PLAIN, AMONG], ids=["plain", "top-k"])
def test_a_looked_up_draft_is_judged_rightly(sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptLookup, "propose", looked_up)
    assert p_value(written("sglang", "exact", sampling, lookup=True), promised("exact", sampling, monkeypatch)) > 1e-4


def looked_up(self: PromptLookup, room: int, policy: Any, drawing: Any) -> Any:
    from speccas.core.decoding.drafts.draft_source import Draft

    return Draft([4, 2][:room]) if room else None


@pytest.mark.slow
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("sampling", [PLAIN, AMONG], ids=["plain", "top-k"])
@pytest.mark.parametrize("arm", RULES)
def test_many_answers_follow_the_rule(arm: str, sampling: Sampling, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not refusal(parse_arm(arm).rule, sampling, SENT):
        assert p_value(written(api, arm, sampling, 3_000), promised(arm, sampling, monkeypatch)) > 1e-4


# --- the same test, on code that somebody broke: it must see it ------------------------------------------------------


def test_sees_a_residual_that_is_p(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = from_rest
    monkeypatch.setattr(verify, "from_rest", lambda p1, uniform, less=None, share=1.0: whole(p1, uniform))
    assert p_value(written("sglang", "exact", PLAIN, 6_000), promised("exact", PLAIN, monkeypatch)) < 1e-6


@pytest.mark.slow
def test_sees_unsent_tokens_that_are_never_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = from_rest

    def careless(p1: Any, uniform: Any, less: Any = None, share: float = 1.0) -> int:
        if less is not None:
            less = np.where([p1.lists(token) for token in range(SIZE)], less, 0.0)
        return whole(p1, uniform, less, share)

    monkeypatch.setattr(verify, "from_rest", careless)
    assert p_value(written("sglang", "exact", PLAIN, 20_000), promised("exact", PLAIN, monkeypatch)) < 1e-6


@pytest.mark.slow
def test_sees_a_drafted_token_that_puts_itself_on_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speccas.core.decoding.deferral.listable", lambda rule, v, at: True)
    arm = "token:0.95"
    assert p_value(written("sglang", arm, PLAIN, 6_000), promised(arm, PLAIN, monkeypatch)) < 1e-6


# --- temperature 0 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("arm", [*RULES, "bild:1.3", "expert", "token-cascade"])
def test_greedy_answers_are_those_of_the_table(arm: str, api: str) -> None:
    """Whatever the rule: the server's numbers decide as the table's do."""
    parsed, greedy = parse_arm(arm), Sampling(0.0, sent=SENT)
    if refusal(parsed.rule, greedy, SENT):
        assert arm.startswith("ensemble")
        return
    for prompt in ((0, 1), (4, 4)):
        toy = Toy(TableModel(LARGE, 2), TableModel(SMALL, 2), pieces=[b"-"] * SIZE)
        here = toy.run(arm, Request(prompt, Sampling(0.0), 30), k=3)
        toy.judge = context(api)
        assert toy.run(arm, Request(prompt, greedy, 30), k=3).ids == here.ids


@pytest.mark.parametrize("api", APIS)
def test_a_whole_vocabulary_may_be_sent(api: str) -> None:
    """A row of as many tokens as there are leaves nothing to ask for."""
    expert = context(api, ExpertServer(TableBrain.of(LARGE, 2), most=SIZE), sent=SIZE)
    toy = Toy(TableModel(LARGE, 2), TableModel(SMALL, 2), pieces=[b"-"] * SIZE)
    toy.judge = expert
    toy.prefill(PROMPT)
    request = Request(PROMPT, replace(PLAIN, sent=SIZE, seed=3), 20)
    events = speculate(parse_arm("exact"), expert, [toy.drafter], FixedPolicy(3), request, toy.lexicon, toy.clock)
    assert sum(len(each.tokens) for each in events if isinstance(each, Judged)) == 20
