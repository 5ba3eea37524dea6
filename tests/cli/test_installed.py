"""What to type for an extra, by how speccas was installed: the files that pip, pipx and uv leave beside it."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest

from speccas.cli.installed import extra_line, installation, line_for, pip_install, requirements

METADATA = """Metadata-Version: 2.4
Name: speccas
Version: 0.1.0
Requires-Dist: rich>=14
Requires-Dist: scipy>=1.15; extra == "bench"
Requires-Dist: rouge-score>=0.1.2; extra == 'bench'
Requires-Dist: pyarrow>=15; extra == "suites"
"""


def installed(where: Path, direct: object = None, **beside: str) -> tuple[Distribution, Path]:
    """A distribution with that direct_url.json, and its environment with these files."""
    info = where / "speccas-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(METADATA)
    if direct is not None:
        (info / "direct_url.json").write_text(direct if isinstance(direct, str) else json.dumps(direct))
    for name, text in beside.items():
        (where / name.replace("_dot_", ".").replace("uv_receipt", "uv-receipt")).write_text(text)
    return PathDistribution(info), where


RECEIPT = '[tool]\nrequirements = [{ name = "speccas", extras = ["tiny"], directory = "/src/speccas" }]\n'
PLACES = {
    "a checkout": ({"url": "file:///src/spec%20cas", "dir_info": {"editable": True}}, {}, "-e '/src/spec cas[bench]'"),
    "a folder": ({"url": "file:///src/speccas", "dir_info": {}}, {}, "'/src/speccas[bench]'"),
    "a wheel": ({"url": "file:///dl/speccas-0.1.0.whl"}, {}, "'/dl/speccas-0.1.0.whl[bench]'"),
    "git": (
        {"url": "https://h.org/s.git", "vcs_info": {"vcs": "git"}},
        {},
        "'speccas[bench] @ git+https://h.org/s.git'",
    ),
    "an index": (None, {}, "'speccas[bench]'"),
    "damaged": ("{", {}, "'speccas[bench]'"),
    "pipx": ({"url": "file:///src/speccas"}, {"pipx_metadata_dot_json": "{}"}, "'scipy>=1.15' 'rouge-score>=0.1.2'"),
    "uv": ({"url": "file:///src/speccas"}, {"uv_receipt_dot_toml": RECEIPT}, "'/src/speccas[tiny,bench]'"),
}


@pytest.mark.parametrize("place", PLACES)
def test_the_line_is_one_that_works_there(tmp_path: Path, place: str) -> None:
    direct, beside, wanted = PLACES[place]
    found, prefix = installed(tmp_path, direct, **beside)
    line = line_for(installation(found, prefix), "bench", requirements(found, "bench"))
    first = {"pipx": "pipx inject speccas", "uv": "uv tool install"}.get(place, pip_install())
    assert line == f"{first} {wanted}"


def test_here(clean: Mapping[str, str], script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this checkout the line names it, from within by a point; pip by its path where that is another's."""
    monkeypatch.chdir(Path(__file__).parents[2])
    assert extra_line("bench").endswith("install -e '.[bench]'")
    assert pip_install(lambda _: str(Path(sys.executable).with_name("pip"))) == "pip install"
    assert str(Path(sys.executable)) in pip_install(lambda _: "/usr/bin/pip")


@pytest.mark.parametrize("command", ["tune", "optimize"])
def test_a_dry_run_needs_no_extra(clean: Mapping[str, str], tmp_path: Path, command: str) -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(('scipy', 'sacrebleu', 'rouge_score')));"
    typed = [command, "--pair", "tiny-model", "--dry-run"]
    source = f"{blocked} sys.argv[1:] = {typed}; import speccas.cli.app as app; app.main()"
    done = subprocess.run([sys.executable, "-c", source], env=dict(clean), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr
