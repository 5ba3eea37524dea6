"""Text into lines: nothing is lost, nothing is wider than the line, words stay whole where they can."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speccas.cli.view.flow import Flow, broken, cells, clip, hanging

RUNS = st.lists(st.tuples(st.text(st.sampled_from("ab \n漢🙂\u0301\u200d")), st.sampled_from(["kept", "agreed"])))


def fill(width: int, runs: list[tuple[str, str]]) -> list[str]:
    flow = Flow(width)
    lines = [line for run in runs for line in flow.feed(*run)]
    return ["".join(text for text, _ in line) for line in [*lines, *flow.end()]]


@given(RUNS, st.integers(2, 12))
def test_nothing_is_lost_and_nothing_is_too_wide(runs: list[tuple[str, str]], width: int) -> None:
    lines = fill(width, runs)
    text = "".join(text for text, _ in runs)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cells(line) <= width for line in lines)


@given(RUNS, st.integers(2, 12), st.integers(2, 12), st.integers(0, 8))
def test_a_new_width_loses_nothing(runs: list[tuple[str, str]], width: int, later: int, at: int) -> None:
    flow = Flow(width)
    lines = [line for run in runs[:at] for line in flow.feed(*run)]
    new = [*flow.resize(later), *(line for run in runs[at:] for line in flow.feed(*run)), *flow.end()]
    text = "".join(text for line in [*lines, *new] for text, _ in line)
    assert "".join(text.split()) == "".join("".join(text for text, _ in runs).split())
    assert all(cells("".join(text for text, _ in line)) <= later for line in new)


@given(RUNS, st.text(st.sampled_from("ab \n漢")))
def test_a_copy_leaves_the_flow_as_it_is(runs: list[tuple[str, str]], more: str) -> None:
    flow = Flow(7)
    for run in runs:
        list(flow.feed(*run))
    before = flow.rest()
    list(flow.copy().feed(more, "pending"))
    assert flow.rest() == before


@pytest.mark.parametrize(
    ("width", "text", "lines"),
    [
        (8, "one two three", ["one two", "three"]),
        (7, "one two three", ["one two", "three"]),
        (5, "abcdefgh", ["abcde", "fgh"]),
        (5, "漢字漢字", ["漢字", "漢字"]),
        (5, "a\n\nb", ["a", "", "b"]),
        (3, "a" + "\u0301" * 10_000 + "b", ["a" + "\u0301" * 10_000 + "b"]),
    ],
)
def test_lines(width: int, text: str, lines: list[str]) -> None:
    assert fill(width, [(text, "agreed")]) == lines


def test_clip() -> None:
    assert clip("abc", 2) == "ab" and clip("漢字", 3) == "漢" and clip("", 0) == "" and clip("ab", 9) == "ab"


def test_hanging_lines() -> None:
    assert hanging("  size  ", "one two three", 15) == ["  size  one two", "        three"]
    assert hanging("  path  ", "/a/path/longer/than/a/line here", 15) == [
        "  path  /a/path/longer/than/a/line", "        here",
    ]  # fmt: skip
    assert hanging("  path  ", "one two three", None) == ["  path  one two three"]
    assert hanging("a label as long as this", "one two", 15) == ["a label as long as thisone two"]
    assert hanging("x ", "", 15) == ["x "]


@given(RUNS, st.integers(3, 20))
def test_a_broken_line_is_whole_and_indented(runs: list[tuple[str, str]], width: int) -> None:
    runs = [(text.replace("\n", ""), status) for text, status in runs]
    lines = ["".join(text for text, _ in line) for line in broken(runs, width, 3)]
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text for text, _ in runs).replace(" ", "")
    assert width <= 6 or all(line.startswith("   ") for line in lines[1:])
