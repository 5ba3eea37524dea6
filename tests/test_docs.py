"""The README and docs/: the README is one page, every link leads somewhere, and every block marked as run runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.models import smollm2

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "profiles" / "tiny-drafter.md"]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
MARKED = re.compile(r"^<!-- runs -->\n```\n(.*?)^```", re.DOTALL | re.MULTILINE)
LONG = ("bench", "chat", "drafting", "install", "json", "pairs", "settings", "traces", "view")
"""Pages whose blocks only the slow tier runs."""
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}", marks=[pytest.mark.slow] if page.stem in LONG else [])
    for page in PAGES
    for number, block in enumerate(MARKED.findall(page.read_text(encoding="utf-8")))
]


def test_there_are_blocks_that_run() -> None:
    """Each mark stands before a block, and each block holds nothing but commands of speccas."""
    marks = sum(len(re.findall(r"^<!-- runs -->", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert marks == len(BLOCKS) >= 8
    for page in PAGES:
        for block in MARKED.findall(page.read_text(encoding="utf-8")):
            assert all(re.match(r"(SPECCAS_\w+=\S+ )?speccas [a-z]", line) for line in block.splitlines())


@pytest.mark.skipif(smollm2() is None, reason="needs the tiny extra")
@pytest.mark.parametrize("block", BLOCKS)
def test_marked_blocks_run_as_they_stand(block: str, tmp_path: Path) -> None:
    """In an empty directory and an empty home, off the network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPECCAS_", "XDG_", "HF_"))}
    places = {f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CONFIG", "STATE", "CACHE", "DATA")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**kept, **places, "HOME": str(tmp_path), "PATH": path, "HF_HUB_OFFLINE": "1", "SPECCAS_THREADS": "1"}
    found = subprocess.run(
        ["sh", "-euc", block],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip()


def test_the_readme_is_one_page() -> None:
    assert len(README.read_bytes()) <= 8000


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_readme_has_the_blocks_that_ci_runs(name: str) -> None:
    """As `.ci/run` finds them: a line with the mark, then a fenced block."""
    assert re.search(rf"^<!-- {name} -->\n```\n(?:\S.*\n)+```$", README.read_text(encoding="utf-8"), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8")))
    for link in links:
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{link}: no such file"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"
