"""Fifty environments, drawn with fixed seeds from what people have set: proxies, tokens, endpoints, locales, colours,
places that cannot be written to. No traceback, a right exit code, and what is asked for is done or refused."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.models import TINY
from tests.builders.sentencepiece import Made
from tests.hub_server import Hub

REPO, FILE = "owner/model-GGUF", "model-Q4_K_M.gguf"
NAME = f"hf:{REPO}"

CHOICES = {
    "ALL_PROXY": ["socks5://127.0.0.1:9", "socks://x", "http://127.0.0.1:9", "", "nonsense://"],
    "HTTP_PROXY": ["http://me:hf_secret@127.0.0.1:9", "127.0.0.1:port", "\u00e9"],
    "NO_PROXY": ["", "*", "127.0.0.1", "[::1", "localhost,.local"],
    "HF_TOKEN": ["hf_secret", "hf_secret\u00e9", "hf_secret hf_secret", "", "\u201chf_secret\u201d"],
    "HF_ENDPOINT": ["http://127.0.0.1:9", "huggingface.co", "", "http://127.0.0.1:99999", "http://[::1"],
    "HF_HUB_DOWNLOAD_TIMEOUT": ["ten", "0", "-5", "1", ""],
    "HF_HUB_ETAG_TIMEOUT": ["1.5", "2"],
    "HF_HUB_OFFLINE": ["1", "maybe"],
    "HF_HUB_DISABLE_SYMLINKS": ["1"],
    "HF_HUB_DISABLE_PROGRESS_BARS": ["1", "0"],
    "HF_DEBUG": ["1"],
    "SSL_CERT_FILE": ["/no/such/file", str(TINY)],
    "LC_ALL": ["C", "POSIX", "xx_YY.UTF-8", "en_US.ISO-8859-1", "C.UTF-8"],
    "PYTHONUTF8": ["0"],
    "PYTHONIOENCODING": ["ascii", "latin-1:strict", "utf-16"],
    "NO_COLOR": ["1", ""],
    "FORCE_COLOR": ["1", "3"],
    "CLICOLOR_FORCE": ["1"],
    "TERM": ["dumb", "", "xterm-256color", "nonsense"],
    "COLUMNS": ["1", "0", "-3", "wide", "1000000"],
    "LINES": ["0", "tall"],
    "HOME": ["/no/such/home", "relative", ""],
    "XDG_CONFIG_HOME": ["FILE/config", "", "relative"],
    "XDG_STATE_HOME": ["FILE/state", "FULL", "/proc/nothing"],
    "XDG_CACHE_HOME": ["FILE/cache", "FULL"],
    "HF_HOME": ["FILE/hf", "FOLDER with blanks \u00e9"],
    "TMPDIR": ["/no/such/folder"],
    "SPECCAS_THREADS": ["1", "many", ""],
    "SPECCAS_TEMPERATURE": ["hot", "0.5"],
    "SPECCAS_NONSENSE": ["1"],
    "TZ": ["Nowhere/Else"],
}
COMMANDS = [
    *[["pull", NAME]] * 2, ["check", NAME, NAME, "--json"], ["list", "--json"], ["doctor", "--json"], ["rules"],
]  # fmt: skip
CODES = {0, 1, 2, 3, 4, 6}


def environment(seed: int, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What is set, and all of the process's variables."""
    draw = random.Random(seed)
    names = draw.sample(sorted(CHOICES), draw.randint(1, 4))
    places = {"FILE": str(folder / "file"), "FULL": str(folder / "file"), "FOLDER": str(folder / "a")}
    (folder / "file").write_text("no folder")
    drawn = {}
    for name in names:
        value = draw.choice(CHOICES[name])
        for word, place in places.items():
            value = value.replace(word, place)
        drawn[name] = value
    return drawn, {**os.environ, **drawn}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_an_odd_environment(hub: Hub, tmp_path: Path, seed: int) -> None:
    data = Made().head()
    hub.add(REPO, {FILE: data})
    drawn, variables = environment(seed, tmp_path)
    words = random.Random(seed).choice(COMMANDS)
    done = subprocess.run(
        [sys.executable, "-c", "from speccas.cli.app import main; main()", *words],
        env=variables, capture_output=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    out, err = done.stdout.decode("latin-1"), done.stderr.decode("latin-1")
    told = f"{drawn}\n{words}\n{done.returncode}\n{out}\n{err}"
    assert done.returncode in CODES and "Traceback" not in err and "Exception" not in err, told
    assert "hf_secret" not in out + err, told
    assert (done.returncode != 0) == ("error: " in err), told
    if done.returncode == 0 and "--json" in words:
        assert isinstance(json.loads(done.stdout), dict), told
    if done.returncode == 0 and words[0] == "pull":
        assert Path(os.fsdecode(done.stdout.strip())).read_bytes() == data, told
    assert (tmp_path / "file").read_text() == "no folder", told
