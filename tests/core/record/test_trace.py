"""The trace: what is written is read back, a torn end is tolerated, and what is no trace is refused with its line."""

import io
import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.decoding.events import (
    Drafted,
    Event,
    Finish,
    Finished,
    Judged,
    Opinion,
    Piece,
    Started,
    Status,
    Token,
)
from speccas.core.errors import IntegrityError, UsageError
from speccas.core.record.metrics import Figures, Fold
from speccas.core.record.trace import TraceArm, TraceWriter, read_trace

RECORDED = Path(__file__).parents[3] / "docs" / "cascade.jsonl"

# Version 1 (docs/traces.md): a key more or less is a change that users must be told of.
LINES = {
    "started": "type arm schema manifest prompt rule alpha k prompt_tokens",
    "round": "type arm round at k mode source t_ms draft_ms verify_ms drafted expert_calls tokens discarded",
}
TOKEN = "id bytes text status q p log_p gap expert_top rule others turned_down"

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.one_of(st.none(), st.floats(0, 1))
PIECES = st.builds(Piece, st.integers(0, 9), st.binary(), TEXTS, NUMBERS, NUMBERS)
OPINIONS = st.builds(
    Opinion, st.text("abc:."), st.floats(0, 9), st.sampled_from([">=", "<="]), st.floats(0, 9), st.booleans()
)
TOKENS = st.builds(
    Token, st.integers(0, 9), st.binary(), TEXTS, st.sampled_from(Status), NUMBERS, NUMBERS, NUMBERS, NUMBERS,
    st.lists(st.tuples(st.integers(0, 9), TEXTS, st.floats(0, 1)), max_size=3).map(tuple), st.none() | OPINIONS,
    st.lists(OPINIONS, max_size=2).map(tuple), st.none() | PIECES, NUMBERS,
)  # fmt: skip


def rounds(tokens: list[Token], pieces: list[Piece]) -> list[Event]:
    return [
        Started("token:0.5", "token", 0.5, 4, 9, budget=1.5),
        Judged("token:0.5", 1, 0, 4, tuple(tokens), tuple(pieces), 3, 1, 12.5, 4.25, 8.0),
        Finished("token:0.5", Finish.STOP, "tail", 0.5, 0.25, 0.125, 0.0),
    ]


def write(events: list[Event], prompt: str = "Why?") -> str:
    file, fold = io.StringIO(), Fold()
    writer = TraceWriter(file, {"pair": "tiny"}, prompt)
    for event in events:
        fold(event)
        writer(event)
    writer.finished(fold.figures(), "tail")
    return file.getvalue()


@given(
    st.lists(TOKENS, min_size=1, max_size=4),
    st.lists(PIECES.map(lambda p: Piece(p.id, p.bytes, p.text)), max_size=2),
    TEXTS,
)
def test_what_is_written_is_read_back(
    tmp_path_factory: Any, tokens: list[Token], pieces: list[Piece], prompt: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "trace.jsonl"
    events = rounds(tokens, pieces)
    path.write_text(write(events, prompt), encoding="utf-8", newline="")
    (arm,) = read_trace(path)
    assert (arm.prompt, arm.manifest) == (prompt, {"pair": "tiny"})
    assert [event for event in arm.events() if not isinstance(event, Drafted)] == events
    assert arm.finished is not None and arm.finished["text"] == "".join(t.text for t in tokens) + "tail"


def test_the_public_shape() -> None:
    seen = set()
    for text in RECORDED.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["type"] == "finished":  # the figures are those of --json
            later = {field.name for field in fields(Figures) if field.default is not MISSING}
            assert set(line) | later == {"type", "arm", "tail", *(field.name for field in fields(Figures))}
        else:
            assert set(line) == set(LINES[line["type"]].split())
        seen.add(line["type"])
        for token in line["tokens"] if line["type"] == "round" else ():
            assert set(token) == set(TOKEN.split())
            assert len(token["expert_top"]) == 3 and all(len(each) == 3 for each in token["expert_top"])
    assert seen == {*LINES, "finished"}


def test_drafts_come_back_as_they_were_written() -> None:
    arms = {arm.started.arm: arm for arm in read_trace(RECORDED)}
    assert list(arms) == ["expert", "exact", "token", "confidence"]
    assert not [event for event in arms["expert"].events() if isinstance(event, Drafted)]
    for name in ("exact", "token", "confidence"):
        arm = arms[name]
        drafts = {event.round: event.pieces for event in arm.events() if isinstance(event, Drafted)}
        assert all(len(drafts.get(judged.round, ())) == judged.drafted for judged in arm.rounds)
        assert arm.finished is not None
        assert (
            "".join(t.text for judged in arm.rounds for t in judged.tokens) + arm.finished["tail"]
            == arm.finished["text"]
        )


def test_a_torn_end(tmp_path: Path) -> None:
    """Killed while it wrote: what is whole is read, and the arm counts as interrupted."""
    whole = RECORDED.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    path = tmp_path / "torn.jsonl"
    for cut in (
        len(lines[0]) + 5,
        len(whole) - 1,
        len(whole) - 300,
        len("".join(lines[:7])),
        len("".join(lines[:7])) + 40,
    ):
        path.write_text(whole[:cut], encoding="utf-8")
        arms = read_trace(path)
        assert arms
    path.write_text("".join(lines[:7]), encoding="utf-8")
    (arm,) = read_trace(path)
    assert isinstance(arm, TraceArm) and len(arm.rounds) == 6 and arm.finished is None
    *_, end = arm.events()
    assert isinstance(end, Finished) and end.finish is Finish.INTERRUPTED


FIRST = write(rounds([Token(1, b"a", "a", Status.KEPT)], []))
BAD = {
    "text": "hello\n",
    "a list": "[1, 2]\n",
    "another schema": FIRST.replace('"schema":1', '"schema":2'),
    "no start": FIRST.split("\n", 1)[1],
    "a status": FIRST.replace('"kept"', '"keptt"'),
    "infinity": FIRST.replace('"at":0', '"at":Infinity'),
    "a time": FIRST.replace('"t_ms":12.5', '"t_ms":Infinity'),
    "not a number": FIRST.replace('"t_ms":12.5', '"t_ms":NaN'),
    "a long time": FIRST.replace('"t_ms":12.5', '"t_ms":1e300'),
    "figures": FIRST.replace('"seconds":0.5', '"seconds":"soon"'),
    "no figures": FIRST.replace('"tokens":1,', ""),
    "odd hex": FIRST.replace('"bytes":"61"', '"bytes":"6"'),
    "deep": "[" * 100_000 + "\n",
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_trace(tmp_path: Path, case: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(BAD[case], encoding="utf-8")
    assert BAD[case] != FIRST
    with pytest.raises(IntegrityError, match=r"line \d: this is no trace"):
        read_trace(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        read_trace(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="cannot read"):
        read_trace(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(IntegrityError, match="it is empty"):
        read_trace(tmp_path / "empty")
