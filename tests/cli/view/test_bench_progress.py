"""Progress of a bench where nothing may be redrawn: plain lines, seldom. A clock of the test's own."""

import pytest

from speccas.cli.view.bench import Lines
from speccas.cli.view.theme import make_console
from speccas.core.bench.protocol import Progress


def test_a_line_a_minute_and_at_both_ends(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    tell = Lines(make_console(stderr=True), lambda: now[0])
    tell(Progress(0, 40, True))
    for done in range(41):
        tell(Progress(done, 40))
        now[0] += 10.0
    told = capsys.readouterr()
    assert told.out == "" and "\x1b" not in told.err
    assert told.err.splitlines() == [
        "warming up; 40 answers to go", "measuring; 0 of 40 answers", "6 of 40 answers, about 6 min left",
        "12 of 40 answers, about 5 min left", "18 of 40 answers, about 4 min left",
        "24 of 40 answers, about 3 min left", "30 of 40 answers, about 2 min left",
        "36 of 40 answers, about 40 s left", "40 of 40 answers",
    ]  # fmt: skip


def test_a_run_that_goes_on_and_one_that_was_whole(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    tell = Lines(make_console(stderr=True), lambda: now[0])
    tell(Progress(30, 40))
    now[0] = 61.0
    tell(Progress(31, 40))
    assert capsys.readouterr().err.splitlines()[-1] == "31 of 40 answers, about 9 min left"
    Lines(make_console(stderr=True), lambda: 0.0)(Progress(40, 40))
    assert capsys.readouterr().err == ""
