"""What may run with an expert that tells some probabilities: every rule at every kind of sampling, and why not."""

import pytest

from speccas.core.decoding.arms import parse_arm
from speccas.core.decoding.partly import cut_list, refusal, require_told
from speccas.core.decoding.penalty import Penalty
from speccas.core.decoding.rules import RULES
from speccas.core.decoding.sampling import Sampling
from speccas.core.errors import ServerRefuses

SENT = 20
GREEDY = Sampling(0.0)
PLAIN = Sampling(1.0, test="token")
AMONG = Sampling(0.7, top_k=20, test="token")
NEVER = {"greedy": {"ensemble", "typical"}, "plain": {"cost-benefit", "bild", "typical"}, "among": {"bild", "typical"}}
"""Rules that read what is not told, at their default alpha."""


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("kind", "sampling"), [("greedy", GREEDY), ("plain", PLAIN), ("among", AMONG)])
def test_every_rule(name: str, kind: str, sampling: Sampling) -> None:
    found = refusal(parse_arm(name).rule, sampling, SENT)
    assert bool(found) == (name in NEVER[kind]), found


@pytest.mark.parametrize(
    ("sampling", "why"),
    [
        (Sampling(1.0), "coupled"),
        (Sampling(0.7, top_k=5), "coupled"),
        (Sampling(1.0, test="block"), "block"),
        (Sampling(0.7, test="token"), "temperature 1 without filters"),
        (Sampling(1.0, top_p=0.9, test="token"), "temperature 1 without filters"),
        (Sampling(1.0, min_p=0.1, test="token"), "temperature 1 without filters"),
        (Sampling(0.7, top_k=21, test="token"), "top-k 21 is more than the 20"),
        (Sampling(0.0, penalty=Penalty(1.1, 64)), "repetition penalty"),
        (Sampling(1.0, test="token", penalty=Penalty(1.1, 64)), "repetition penalty"),
        (Sampling(1.0, test="token", budget=1.0), "budget"),
        (Sampling(0.7, top_k=5, margin=0.2, test="token"), "margin"),
    ],
)
@pytest.mark.parametrize("arm", ["exact", "token", "expert"])
def test_every_sampling_that_cannot_be(arm: str, sampling: Sampling, why: str) -> None:
    with pytest.raises(ServerRefuses, match=why) as refused:
        require_told(parse_arm(arm), sampling, SENT)
    assert refused.value.exit_code == 2 and refused.value.facts["sent"] == SENT


def test_what_is_known_in_full_is_never_refused() -> None:
    require_told(parse_arm("bild"), Sampling(0.7, penalty=Penalty(1.1, 64)), 0)


def test_the_drafter_alone_needs_no_expert() -> None:
    require_told(parse_arm("drafter"), Sampling(0.7), SENT)


@pytest.mark.parametrize("sampling", [GREEDY, PLAIN, AMONG])
def test_a_longer_list_than_is_told(sampling: Sampling) -> None:
    assert refusal(parse_arm("top-k:20").rule, sampling, SENT) == ""
    assert "21 most likely" in refusal(parse_arm("top-k:21").rule, sampling, SENT)


def test_an_end_that_is_lossless_reads_what_exact_does() -> None:
    assert refusal(parse_arm("cost-benefit:-inf").rule, PLAIN, SENT) == ""
    assert refusal(parse_arm("ensemble:0").rule, GREEDY, SENT) == ""


def test_whose_list_is_cut() -> None:
    cut = {name for name in RULES if cut_list(parse_arm(name).rule, PLAIN)}
    assert cut == {"token", "token-margin", "token-safe"}
    assert not any(cut_list(parse_arm(name).rule, GREEDY) for name in RULES)
