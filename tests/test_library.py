"""The library as a program sees it: its names, and the examples of docs/library.md, run as they stand."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import speccas.core as library
from tests.builders.models import smollm2
from tests.builders.tiers import few_fast

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "library.md").read_text(encoding="utf-8"), re.DOTALL)


def test_what_is_promised_is_there() -> None:
    assert len(set(library.__all__)) == len(library.__all__)
    for name in library.__all__:
        assert getattr(library, name) is not None
    tree = ast.parse(Path(str(library.__file__)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = [alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(map(str, typed)) == sorted(library.__all__), "what a type checker sees is what there is"
    with pytest.raises(AttributeError, match="has no 'nothing'"):
        library.nothing  # noqa: B018


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, speccas.core; print(*({'numpy', 'llama_cpp', 'yaml'} & sys.modules.keys()))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == ""


@pytest.mark.skipif(smollm2() is None, reason="needs the tiny extra")
@pytest.mark.parametrize("number", few_fast(range(len(EXAMPLES)), 1))
def test_examples_run_as_they_stand(number: int, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(EXAMPLES[number])
    found = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    assert found.stdout
