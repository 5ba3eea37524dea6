"""The texts about a tuned pair and slow answers: they name flags, evidence and what to do."""

from speccas.cli.advice import notice_lines, slower_text
from speccas.core.tune.advice import Remedy, SlowerAdvice, TunedNotice
from speccas.core.tune.store import Tuned

HERE = "EPYC, 2 threads"
FAST = Tuned("2026-11-25", HERE, "token:0.5", 3, True, 1.18, 1.1, 1.25, 40, 0.012)
SLOW = Tuned("2026-11-25", HERE, "exact", "auto", False, 0.98, 0.96, 1.0, 40)


def lines(tuned: Tuned, used: bool = True, here: bool = True, warm: bool = False, k: int | None = None) -> list[str]:
    notice = TunedNotice(tuned=tuned, used=used, here=here, same_temperature=not warm, slow_length=k)
    return [text for text, _ in notice_lines(notice)]


def test_a_setting_that_is_used_is_named_with_its_evidence() -> None:
    assert lines(FAST) == [
        "tuned: --rule token:0.5 -k 3 (1.18x the expert alone [1.10, 1.25], 40 prompts, quality loss 1.2%; 2026-11-25)"
    ]
    (text,) = lines(FAST, warm=True)
    assert "at temperature 0;" in text, "it was measured at another temperature, and that is said"
    (text,) = lines(SLOW)
    assert "nothing was faster than the expert alone" in text


def test_another_machine_is_warned_of() -> None:
    _, warning = lines(FAST, here=False)
    assert warning == f"warning: this was tuned on another machine or build ({HERE}): run `speccas tune` here"


def test_a_fixed_length_is_warned_of_where_nothing_was_faster() -> None:
    assert lines(SLOW, used=False, k=4) == [
        "warning: tune found nothing faster than the expert alone here, so -k 4 will be slower: use --rule exact "
        "-k auto"
    ]


def test_a_slow_answer_names_itself_and_what_would_be_better() -> None:
    slow = (("exact", 0.4), ("token:0.5", 0.9))
    assert "at -k 4: exact 0.4x, token:0.5 0.9x. -k auto" in slower_text(SlowerAdvice(4, slow, Remedy.AUTO))
    faster = SlowerAdvice(4, slow[:1], Remedy.FASTER_HERE, "token:0.5", 4, 1.2)
    assert slower_text(faster).endswith("exact 0.4x. --rule token:0.5 -k 4 was faster (1.2x)")
    tuned = SlowerAdvice(4, slow[:1], Remedy.TUNED, "token:0.5", 3, tuned=FAST)
    assert "speccas tune found --rule token:0.5 -k 3 (1.18x" in slower_text(tuned)
    assert ". --rule expert does" in slower_text(SlowerAdvice("auto", slow[:1], Remedy.EXPERT))
