"""Going back anywhere with a memory that takes back little: always the right rows, and little read twice."""

from weakref import WeakSet

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.core.decoding.rewind import COPIES, Rewindable, State
from speccas.core.decoding.sampling import Floats
from speccas.core.decoding.table import TableModel
from speccas.core.errors import ContextFull, RollbackRefused, Stopped

ROWS, ROOM = 5, 60


def numbered(read: tuple[int, ...]) -> Floats:
    """A row that tells everything that was read."""
    return np.array([hash(read) % 10007, len(read)], dtype=np.float32)


def limited(rollback: int | None, max_rows: int = ROWS) -> tuple[TableModel, Rewindable]:
    model = TableModel(numbered, order=10**6, max_rows=max_rows, rollback=rollback, room=ROOM)
    return model, Rewindable(model)


Step = tuple[str, int, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 9), st.integers(0, ROWS)),
        st.tuples(st.just("back"), st.integers(0, 25), st.just(0)),
        st.tuples(st.just("mark"), st.just(0), st.just(0)),
        st.tuples(st.just("stop"), st.integers(1, 9), st.integers(0, ROWS)),
    ),
    max_size=40,
)


@given(st.sampled_from((0, 1, 2, ROWS - 1, None)), STEPS)
def test_whatever_is_done_it_is_as_if_it_were_read_once(rollback: int | None, steps: list[Step]) -> None:
    model, rewindable = limited(rollback)
    held: list[int] = []
    number = 0
    for what, count, rows in steps:
        if what == "back":
            del held[max(0, len(held) - count) :]
            rewindable.truncate(len(held))
        elif what == "mark":
            rewindable.mark()
        else:
            new = list(range(number, number + count))
            number += count
            rows = min(rows, count)
            model.stop_after = 0 if what == "stop" else None
            try:
                found = rewindable.extend(new, rows)
            except (Stopped, ContextFull):
                assert len(held) <= len(rewindable) <= len(held) + count
                held = [*held, *new][: len(rewindable)]
            else:
                held += new
                assert len(found) == rows
                for row, end in zip(found, range(len(held) - rows + 1, len(held) + 1), strict=True):
                    assert np.array_equal(row, numbered(tuple(held[:end])))
            model.stop_after = None
        assert len(rewindable) == len(held)
    if len(held) < ROOM:
        assert np.array_equal(rewindable.extend([number])[0], numbered((*held, number)))


def test_rows_are_counted_without_what_is_read_again() -> None:
    _, rewindable = limited(0)
    rewindable.extend(range(8), rows=0)
    rewindable.truncate(6)
    with pytest.raises(ValueError, match="4 rows of 3 tokens"):
        rewindable.extend([1, 2, 3], rows=4)


def test_a_marked_place_is_gone_back_to_without_reading() -> None:
    model, rewindable = limited(0)
    rewindable.extend(range(20), rows=0)
    rewindable.mark()
    for n in (1, 4, 1, 5):
        rewindable.extend(range(n), rows=n)
        rewindable.truncate(20)
    assert model.extends == [(0, 20), (20, 1), (20, 4), (20, 1), (20, 5)]


def test_a_place_that_is_not_read_yet_is_read_to_be_marked() -> None:
    model, rewindable = limited(0)
    rewindable.extend(range(20), rows=0)
    rewindable.truncate(15)
    rewindable.mark()
    for _ in range(3):
        rewindable.extend([1])
        rewindable.truncate(15)
    assert model.extends == [(0, 20), (0, 15), (15, 1), (15, 1), (15, 1)]


def test_a_draft_that_was_turned_down_is_read_again_with_the_next() -> None:
    """In one call with it while that is little; else before it, and never from the beginning."""
    model, rewindable = limited(0)
    rewindable.extend(range(20), rows=0)
    for accepted in (2, 2, 0, 5):
        rewindable.extend(range(5), rows=5)
        rewindable.truncate(len(rewindable) - 5 + accepted)
    assert model.extends == [(0, 20), (20, 5), (20, 7), (20, 9), (20, 9)]
    rewindable.truncate(26)
    rewindable.extend(range(5), rows=5)
    assert model.extends[5:] == [(20, 6), (26, 5)], "six are more than are read with every draft"


def test_what_the_memory_takes_back_is_not_read_again() -> None:
    """A draft that is judged in one call, of a hybrid model with as many snapshots."""
    model, rewindable = limited(ROWS - 1)
    rewindable.extend(range(20), rows=0)
    for accepted in (1, 3, 5, 2):
        rewindable.extend(range(5), rows=5)
        rewindable.truncate(len(rewindable) - 5 + accepted)
    assert model.evaluated == 20 + 4 * 5


def test_guesses_that_are_read_one_by_one_are_taken_back_to_what_stands() -> None:
    """A drafter of four: it reads what was committed, then three of its own guesses."""
    model, rewindable = limited(0, max_rows=1)
    rewindable.extend(range(20), rows=0)
    rewindable.mark()
    model.extends.clear()
    committed = [7]
    for accepted in (0, 4, 1, 0):
        rewindable.extend(committed)
        for guess in range(3):
            rewindable.extend([guess])
        rewindable.truncate(len(rewindable) - 3 + min(accepted, 3))
        committed = [3, 7] if accepted == 4 else [7]
    assert [tokens for _, tokens in model.extends] == [1, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1]


def test_of_many_marks_the_dearest_are_kept() -> None:
    """Not each costs memory; what is left of them spares most of the reading."""
    copies: WeakSet[State] = WeakSet()

    class Counted(TableModel):
        def save(self) -> State:
            copies.add(state := super().save())
            return state

    model = Counted(numbered, order=10**6, max_rows=ROWS, rollback=0, room=ROOM)
    rewindable = Rewindable(model)
    for _ in range(8):
        rewindable.extend(range(4), rows=0)
        rewindable.mark()
        rewindable.extend([1], rows=1)
        assert len(copies) <= COPIES
    for length in (40, 35, 20, 5):
        before = model.evaluated
        rewindable.truncate(length)
        rewindable.extend([1])
        assert model.evaluated - before <= 16, length


def test_a_copy_is_not_restored_over_another_text() -> None:
    model, rewindable = limited(0)
    rewindable.extend(range(10), rows=0)
    rewindable.mark()
    rewindable.truncate(4)
    rewindable.extend(range(50, 60), rows=0)
    rewindable.truncate(10)
    assert np.array_equal(rewindable.extend([1])[0], numbered((0, 1, 2, 3, 50, 51, 52, 53, 54, 55, 1)))
    state = model.save()
    model.truncate(0)
    with pytest.raises(RollbackRefused):
        model.restore(state)
