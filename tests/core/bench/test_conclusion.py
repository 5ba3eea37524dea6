"""The sentence over a report, and the answers in it: what was won and at what cost, or that nothing was."""

from dataclasses import replace

from speccas.core.bench.answers import MOST, shown
from speccas.core.bench.conclusion import conclusion
from speccas.core.bench.report_files import markdown, page
from speccas.core.bench.samples import Sample
from speccas.core.bench.summary import summarise
from tests.core.bench.test_report import HOSTILE, made, report


def told(samples: list[Sample]) -> str:
    return conclusion(summarise(samples))


def other(samples: list[Sample]) -> list[Sample]:
    """The same, but token:0.5 writes another text, which the expert likes less."""
    return [
        replace(s, ids=(9,), figures=replace(s.figures, expert_logprob=-3.0)) if s.figures.name == "token:0.5" else s
        for s in samples
    ]


def test_who_won() -> None:
    samples = other(made(exact=1.5, token_5=2.0, drafter=9.0))
    lost = next(arm.quality_loss for arm in summarise(samples) if arm.name == "token:0.5")
    assert lost != "none: same text" and told(samples) == (
        "Faster than the expert alone over 8 prompts: `exact` 1.50x [1.50, 1.50], the expert's own text; `token:0.5` "
        f"2.00x [2.00, 2.00], quality loss: {lost}."
    )
    lossy = told(made(exact=0.9, token_5=2.0))
    assert "`token:0.5` 2.00x" in lossy and lossy.endswith("; `exact` was not shown to be faster (0.90x [0.90, 0.90]).")


def test_that_nobody_did() -> None:
    samples = [replace(s, figures=replace(s.figures, speedup_if_flat=1.6)) for s in made(exact=0.9, drafter=9.0)]
    assert told(samples) == (
        "Nothing was shown to be faster than the expert alone over 8 prompts. The best was `exact` 0.90x [0.90, 0.90], "
        "the expert's own text. Where a call of the expert costs as one token, that would be 1.6x."
    )
    assert told(made(prompts=1, exact=2.0)) == (
        "Too few prompts to show anything (6 have an interval). Over 1 prompt: `exact` 2.00x, the expert's own text."
    )
    assert told(made(drafter=9.0)) == told([]) == ""


def test_a_sequential_cascade_is_no_winner() -> None:
    """It may hand the whole answer to the drafter."""
    samples = [
        replace(s, figures=replace(s.figures, name="answer-cascade:0.3")) if s.figures.name == "token:0.3" else s
        for s in other(made(exact=1.5, token_5=2.0, token_3=3.0))
    ]
    found = told(samples)
    assert "`token:0.5` 2.00x" in found and "cascade" not in found
    alone = [s for s in samples if s.figures.name not in ("exact", "token:0.5")]
    assert "`answer-cascade:0.3` 3.00x" in told(alone), "where there is nothing else, it is named"


def test_a_loss_that_few_scores_do_not_show_is_told_by_log_prob() -> None:
    samples = [
        replace(s, scorer="numeric", score=float(s.figures.name == "expert" or s.prompt_id != "p0"))
        for s in other(made(exact=1.5, token_5=2.0))
    ]
    assert "quality loss: not shown by right, log-prob -" in told(samples)
    unsure = [replace(s, figures=replace(s.figures, expert_logprob=-1.0)) for s in samples]
    assert told(unsure).endswith("quality loss: not shown.")


def test_answers_stand_side_by_side() -> None:
    """The first of each group in turn, the expert first, marked where they are its own."""
    samples = other(made(exact=1.5, token_5=2.0))
    found = shown([*samples, *(replace(s, repeat=1) for s in samples)], {"p0": f"Name {HOSTILE}"})
    assert [each.id for each in found] == ["p0", "p1", "p2", "p3", "p4", "p5"][:MOST]
    assert [answer.label for answer in found[0].answers] == ["expert", "exact", "token:0.5"]
    assert [answer.same for answer in found[0].answers] == [True, True, False]
    text = page(report(samples), found)
    for part in ("Faster than the expert alone over 8 prompts", "side by side", "the expert&#39;s own text", "1.50x"):
        assert part in text, part
    assert "<script" not in text and "prefers-color-scheme: dark" in text
    assert markdown(report(samples)).splitlines()[2].startswith("**Faster than the expert alone")
