"""The README and docs/: the README is one page, every link leads somewhere, and every block marked as run runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.models import smollm2

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "profiles").glob("*.md")),
]
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


FIRST, EDIT = re.findall(r"^speccas compare .*$", README.read_text(encoding="utf-8"), re.MULTILINE)[:2]
"""What "Try it" runs."""


def tried(command: str, home: Path) -> str:
    """What a command of the README prints, where a clone has it."""
    bin = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SPECCAS_", "XDG_"))},
        **{f"XDG_{name}_HOME": str(home) for name in ("CONFIG", "STATE", "CACHE")},
        "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
        "SPECCAS_THREADS": "1",
    }
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(smollm2() is None, reason="needs the tiny extra")
def test_the_first_command_says_what_was_won_or_why_nothing_was(tmp_path: Path) -> None:
    """In the sentence before the table; which one depends on the machine."""
    out = tried(FIRST, tmp_path)
    sentence = " ".join(out[: out.index("\narm ")].rstrip().rpartition("\n\n")[2].split())
    won, lost = r"`exact`: the expert's own text, [\d.]+x, \d+ tokens in \d+ expert calls", "nothing was faster here"
    assert re.match(f"{won}|{lost}", sentence), sentence
    assert ("one token" in sentence and "of the expert's calls" in sentence) or not sentence.startswith(lost)


@pytest.mark.slow
@pytest.mark.skipif(smollm2() is None, reason="needs the tiny extra")
def test_the_second_command_is_the_case_that_wins(tmp_path: Path) -> None:
    """By counts, which no machine changes much: most of the edit is copied, and it is the edit that was asked for."""
    exact = json.loads(tried(f"{EDIT} --json", tmp_path))["arms"][1]
    assert exact["text"].startswith("class Pile:") and exact["identical_to_expert"] is True
    assert exact["looked_up_accepted"] > exact["tokens"] / 2 > exact["expert_calls"]
    assert exact["speedup_if_flat"] > 2


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
