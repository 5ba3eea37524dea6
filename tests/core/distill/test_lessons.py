"""What training reads: expert tokens spelled by the drafter, and the expert's state at the right place of each."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from speccas.core.distill.conversations import Part
from speccas.core.distill.data import Wave, is_held_out, load_wave, remember, save_wave, wave_path, waves
from speccas.core.distill.lessons import Texts
from speccas.core.distill.texts import WORTH, order
from speccas.core.errors import UsageError

SPELLED = [(0,), (1,), (2, 3), (4,), (5, 6, 7)]  # tokens 2 and 4 of the expert are no tokens of the drafter
G, Q, A, S = Part.GIVEN, Part.QUESTION, Part.ANSWER, Part.SAMPLED


def wave(ids: list[list[int]], parts: list[list[Part]]) -> Wave:
    """Hidden states of width 2: text and position."""
    texts, length = len(ids), len(ids[0])
    hidden = np.stack(np.meshgrid(np.arange(texts), np.arange(length), indexing="ij"), axis=-1).astype(np.uint16)
    return Wave(np.array(ids, np.uint16), np.array(parts, np.uint8), hidden)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_wave(tmp_path, 1, wave([[0, 2, 1, 4, 3], [0, 1, 1, 3, 1]], [[G, Q, A, A, S], [G, G, A, A, A]]))
    save_wave(tmp_path, 2, wave([[3, 3, 3, 3, 3]], [[G, G, G, G, S]]))
    return tmp_path


def test_a_wave_is_read_as_it_was_written(folder: Path) -> None:
    assert waves(folder) == [1, 2] and is_held_out(0) and is_held_out(16) and not is_held_out(1)
    assert load_wave(folder, 1).ids.tolist()[0] == [0, 2, 1, 4, 3]
    assert [path.name for path in folder.iterdir() if "part" in path.name] == [], "nothing half written is left"


def test_states_stand_where_a_token_ends_in_the_drafters_spelling(folder: Path) -> None:
    lessons = Texts(folder, [1], SPELLED).lessons([0])
    # 0 | 2 3 | 1 | 5 6 (7 4 are cut off: a text stays as long as it was)
    assert lessons.ids.tolist() == [[0, 2, 3, 1, 5]]
    # what comes next is worth something at expert positions 0 (a question), 1, 2; at 3 the token ends behind the cut
    assert lessons.at.tolist() == [0, 2, 3]
    assert lessons.states.tolist() == [[0, 0], [0, 1], [0, 2]]
    assert lessons.follows.tolist() == [2, 1, 4]
    assert lessons.worth.tolist() == [WORTH[Q], WORTH[A], WORTH[A]]
    assert lessons.greedy.tolist() == [False, True, True]


def test_a_batch_counts_positions_through_its_texts(folder: Path) -> None:
    lessons = Texts(folder, [1, 2], SPELLED).lessons([1, 2, 0])
    assert lessons.ids.shape == (3, 5)
    assert lessons.at.tolist() == [1, 2, 3, 5 + 3, 10, 10 + 2, 10 + 3]
    assert lessons.states[:4].tolist() == [[1, 1], [1, 2], [1, 3], [0, 3]]


def test_tokens_are_counted(folder: Path) -> None:
    texts = Texts(folder, [1], SPELLED)
    assert texts.counts(5).tolist() == [2, 4, 1, 2, 1] and texts.tokens == 10 and len(texts) == 2


def test_no_more_waves_are_read_than_are_asked_for(folder: Path) -> None:
    save_wave(folder, 3, wave([[0, 0, 0, 0, 0]], [[G, G, G, G, S]]))
    assert [len(Texts(folder, [1, 2, 3], SPELLED, most)) for most in (None, 1, 2, 3, 9)] == [4, 2, 2, 3, 4]


def test_each_text_once_a_round_and_the_same_order_again_after_a_pause() -> None:
    whole = list(islice(order(10, 3, seed=4), 12))
    first = [text for batch in whole[:3] for text in batch]
    assert len(first) == len(set(first)) == 9, "no text twice"
    assert whole[:3] != whole[3:6]
    assert list(islice(order(10, 3, seed=4, skip=5), 7)) == whole[5:]
    assert whole != list(islice(order(10, 3, seed=5), 12))


def test_a_batch_larger_than_there_are_texts_takes_all() -> None:
    assert [sorted(batch) for batch in islice(order(2, 32, seed=0), 2)] == [[0, 1], [0, 1]]


def test_a_folder_goes_on_only_with_the_settings_it_was_begun_with(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    remember(path, {"seed": 0, "texts": 8})
    remember(path, {"seed": 0, "texts": 8})
    with pytest.raises(UsageError, match="begun with other settings: texts"):
        remember(path, {"seed": 0, "texts": 9})
    assert not wave_path(tmp_path, 3).exists()
