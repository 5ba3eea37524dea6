"""The project as a whole: layers point one way, everything is packaged, and the documents name what there is.

Reads sources as text and syntax; runs none of the product but its list of commands and rules.
"""

import ast
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from speccas.cli.app import app
from speccas.core.decoding.arms import BASELINES
from speccas.core.decoding.rules import RULES

ROOT = Path(__file__).parent.parent
PACKAGES = ("core", "cli", "profiles")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
STDLIB = set(sys.stdlib_module_names)
ids = [str(path.relative_to(ROOT)) for path in MODULES]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, as an absolute name: `speccas.core.errors`, `numpy.typing`."""
    package = ["speccas", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if node.module and not (ROOT / Path(*source.split(".")[1:])).is_dir():
                yield source
            else:  # from a package: what is named may be a module of it
                yield from (f"{source}.{alias.name}" for alias in node.names)


def of(path: Path) -> str:
    """The module's own name."""
    return ".".join(("speccas", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def inside(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


LAYERS = (
    ("atomic", "errors", "looks", "nearest", "visible"),
    ("decoding",),
    ("headers",),
    ("machine",),
    ("conversation", "files"),
    ("runtime",),
    ("record",),
    ("calibration",),
    ("bench", "session"),
    ("optimize", "tune"),
    ("inventory",),
    ("distill", "server"),
)
"""The rooms of core, the ground first: each may import itself and those in a row before its own."""
FLOOR = {f"speccas.core.{room}": floor for floor, rooms in enumerate(LAYERS) for room in rooms}


BINDING = {"speccas.core.runtime.llama", "speccas.core.runtime.states", "speccas.core.runtime.rpc.library"}
"""What imports llama_cpp."""


def room_of(name: str) -> str:
    return ".".join(name.split(".")[:3])


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_layers_point_one_way(path: Path) -> None:
    """cli -> the rooms of core, each on those below it; docs/architecture.md draws them."""
    name, room = of(path), room_of(of(path))
    ours = {each for each in imports(path) if inside(each, "speccas")}
    theirs = {each.partition(".")[0] for each in imports(path)} - {"speccas"}
    assert not theirs & {"core", "cli", "profiles"}, "a name that exists only in this checkout"
    if not inside(name, "speccas.cli"):
        assert not theirs & {"rich", "typer", "click", "prompt_toolkit"}
        assert not any(inside(each, "speccas.cli") for each in ours)
    if name not in BINDING:
        assert "llama_cpp" not in theirs
    if room in FLOOR:
        up = {each for each in ours if room_of(each) != room and FLOOR.get(room_of(each), 99) >= FLOOR[room]}
        assert not up, "an import that runs up"
    if inside(name, "speccas.core.decoding"):
        assert theirs <= STDLIB | {"numpy"}
    if name == "speccas.core.errors":
        assert not ours and theirs <= {"typing"}


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert len((ast.get_docstring(ast.parse(path.read_text())) or "").split()) >= 4, "a docstring of a line or more"


def test_no_class_name_stands_twice() -> None:
    """A name means one thing in the whole project."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(of(path))
    assert not {name: found for name, found in places.items() if len(found) > 1}


ALLOWED = {
    "core/bench/report.py": "a report names what makes it whole, for who reads it later",
    "core/bench/report_files.py": "the report's title",
    "core/bench/samples.py": "another process of that name",
    "core/bench/comparison.py": "the kind of file",
    "core/distill/__main__.py": "a command line of its own",
    "core/inventory/doctor.py": "how to build llama.cpp anew",
    "core/tune/candidates.py": "a setting as it is typed, in recorded documents",
}
"""Files of core whose texts may name a flag or a command, and why."""


def texts(path: Path) -> Iterator[str]:
    """Every text of a file that is no docstring."""
    tree = ast.parse(path.read_text())
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node.value


def test_core_names_no_flag_and_no_command() -> None:
    """An error carries its facts; cli/hints.py says what to type."""
    commands = "|".join(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    wanted = re.compile(rf"(?<![\w-])--[a-z]|\bspeccas ({commands})\b|(?<!\w)/(save|load|set)\b")
    found = {
        f"{path.relative_to(ROOT)}: {text[:60]!r}"
        for path in MODULES
        if path.is_relative_to(ROOT / "core") and str(path.relative_to(ROOT)) not in ALLOWED
        for text in texts(path)
        if wanted.search(text)
    }
    assert not found


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed() -> None:
    """Import names are mapped by hand, so a folder that is not listed is not in the wheel."""
    setuptools = project()["tool"]["setuptools"]
    folders = sorted(
        path.parent.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")
    )
    names = [".".join(("speccas", *folder.parts)) for folder in folders]
    assert sorted(setuptools["packages"]) == names
    assert setuptools["package-dir"] == dict(zip(names, map(Path.as_posix, folders), strict=True))
    for path in MODULES:
        assert (path.parent / "__init__.py").is_file(), f"{path} is in no package"


def test_every_data_file_is_packaged() -> None:
    data = project()["tool"]["setuptools"]["package-data"]
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            if path.is_dir() or path.suffix in (".py", ".pyc") or "__pycache__" in path.parts:
                continue
            owner = path.parent
            while not (owner / "__init__.py").is_file():
                owner = owner.parent
            patterns = data.get(".".join(("speccas", *owner.relative_to(ROOT).parts)), [])
            inner = path.relative_to(owner).as_posix()
            fitting = [each for each in patterns if fnmatch(inner, each) and inner.count("/") == each.count("/")]
            assert fitting, f"{path} would not be in the wheel"


def test_what_is_imported_is_required() -> None:
    known = {"llama_cpp": "llama-cpp-python", "yaml": "pyyaml", "huggingface_hub": "huggingface-hub"}
    known |= {
        "prometheus_client": "prometheus-client",
        "ruamel": "ruamel.yaml",
        "prompt_toolkit": "prompt-toolkit",
        "rouge_score": "rouge-score",
    }
    listed = project()["project"]
    required = [
        *listed["dependencies"],
        *(each for extra in listed["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[^\w.-]", each)[0].lower() for each in required}
    for path in MODULES:
        for module in {each.partition(".")[0] for each in imports(path)} - STDLIB - {"speccas"}:
            assert known.get(module, module) in names, f"{path} imports {module}"


def test_the_documents_name_every_command_and_code() -> None:
    readme, codes = (ROOT / "README.md").read_text(), (ROOT / "docs/json.md").read_text()
    group: Any = typer.main.get_command(app)
    for command in group.commands:
        assert f"| `speccas {command}" in readme
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 70, 130, 143):
        assert re.search(rf"^\| {code} [a-z]", codes, re.MULTILINE)


def test_the_picture_of_the_layers_is_that_of_the_test() -> None:
    """docs/architecture.md draws the rooms of core from the top down, each with its neighbours on one line."""
    picture = (ROOT / "docs/architecture.md").read_text().split("```")[1]
    rows = [set(re.findall(r"\b[a-z]+\b", line)) for line in picture.splitlines()]
    for above, below in zip(LAYERS[::-1], LAYERS[-2::-1], strict=False):
        assert [n for n, row in enumerate(rows) if row >= set(above)], above
        first = min(n for n, row in enumerate(rows) if row >= set(above))
        assert any(row >= set(below) for row in rows[first + 1 :]), below


def test_the_page_of_rules_is_what_their_classes_say() -> None:
    made: str = runpy.run_path(str(ROOT / "scripts/rule_docs.py"))["page"]()
    assert (ROOT / "docs/rules.md").read_text() == made, "run `make docs`"
    for name in (*RULES, *BASELINES):
        assert f"| `{name}` |" in made


def test_the_documents_are_there_and_of_this_version() -> None:
    newest = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert newest.split()[1] == project()["project"]["version"] == version("speccas")
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 40
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:400]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_type_checkers_find_the_packages() -> None:
    for package in PACKAGES:
        link = ROOT / "typings/speccas" / package
        # A checkout without symbolic links holds the target as text; `make types` and .ci/run put that right.
        target = link.readlink() if link.is_symlink() else Path(link.read_text())
        assert not target.is_absolute()
        assert (link.parent / target).resolve() == ROOT / package
