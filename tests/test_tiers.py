"""The two tiers: every module of core and cli is reached by a test that plain `pytest` runs.

Reads sources as syntax. A test file counts where one of its tests is not marked slow; a module is reached where such a
file imports it, or something that is reached imports it at the top of its file (in the command line and in the runtime,
which import late: anywhere).
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import typer

from speccas.cli.app import app
from tests.test_project import MODULES, ROOT, of

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
TRAINED = ("generate", "head_learn", "head_network", "head_start", "learn", "network")
NEEDS_TORCH = {f"speccas.core.distill.{name}" for name in TRAINED}


def fast_tests(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """The file's tests that are not slow."""
    marks = [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    if any("mark.slow" in mark for mark in marks):
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            marks = [ast.unparse(each) for each in node.decorator_list]
            if "pytest.mark.slow" not in marks:
                yield node


def imported(nodes: Iterator[ast.AST], package: list[str]) -> Iterator[str]:
    """Names of modules that these nodes import, and of what they take from them, which may be modules too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def imported_by(path: Path) -> set[str]:
    """What is imported when the module is; where that is done late, also what its functions import."""
    tree = ast.parse(path.read_text())
    parts = path.relative_to(ROOT).parent.parts
    late = parts[0] == "cli" or parts[:2] == ("core", "runtime")
    return set(imported(ast.walk(tree) if late else iter(tree.body), ["speccas", *parts]))


def test_every_module_is_reached_by_a_fast_test() -> None:
    modules = {of(path): path for path in MODULES}
    trees = {path: ast.parse(path.read_text()) for path in TESTS}
    fast = [path for path, tree in trees.items() if any(fast_tests(tree))]
    conftests = sorted((ROOT / "tests").rglob("conftest.py"))
    todo = {"speccas.cli.start", *(f"speccas.cli.commands.{name}" for name in commands_run(trees))}
    for path in (*fast, *conftests):
        todo |= set(imported(ast.walk(ast.parse(path.read_text())), []))
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name in modules and name not in reached:
            reached.add(name)
            todo |= imported_by(modules[name])
    missing = {name for name, path in modules.items() if path.name != "__init__.py"} - reached - NEEDS_TORCH
    assert not {name for name in missing if not name.startswith("speccas.profiles")}


def commands_run(trees: dict[Path, ast.Module]) -> set[str]:
    """Commands that a fast test of the command line names as a word of its own."""
    group = typer.main.get_command(app)
    found: set[str] = set()
    for path, tree in trees.items():
        if "cli" in path.relative_to(ROOT).parts:
            words = {
                node.value.split(" ")[0]
                for test in fast_tests(tree)
                for node in ast.walk(test)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
            found |= words & set(group.commands)  # type: ignore[attr-defined]
    return found


def test_every_command_is_run_by_a_fast_test() -> None:
    found = commands_run({path: ast.parse(path.read_text()) for path in TESTS})
    assert not set(typer.main.get_command(app).commands) - found  # type: ignore[attr-defined]
