"""No test of c598e1a is lost: tests/recorded/tests-moved.txt names for each its new place, or why it went.

A line is `old file -> new file`, or for an exception `old file::test -> new file::test` or `old file::test gone: why`.
A test that has no line of its own keeps its name in the new file. tests-of-c598e1a.txt lists the old ones.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MOVED = (ROOT / "tests/recorded/tests-moved.txt").read_text().splitlines()


@pytest.mark.slow
def test_every_new_place_exists() -> None:
    for line in MOVED:
        old, arrow, new = line.partition(" -> ")
        if not arrow:
            assert "::" in old and len(old.partition(" gone: ")[2].split()) > 3, line
            continue
        file, _, name = new.partition("::")
        assert (ROOT / file).is_file(), line
        if name:
            tree = ast.parse((ROOT / file).read_text())
            assert name in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}, line


@pytest.mark.slow
def test_every_old_test_has_a_new_place() -> None:
    listed = (ROOT / "tests/recorded/tests-of-c598e1a.txt").read_text().splitlines()
    files = dict(line.split(" -> ") for line in MOVED if "::" not in line)
    own = {line.partition(" ")[0] for line in MOVED if "::" in line}
    trees = {file: ast.parse((ROOT / file).read_text()) for file in files.values()}
    names = {
        file: {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
        for file, tree in trees.items()
    }
    old = {line.partition("[")[0] for line in listed if "::" in line}
    lost = [each for each in old - own if each.partition("::")[2] not in names[files[each.partition("::")[0]]]]
    assert old and not lost
