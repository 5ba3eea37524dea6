"""The commands of pairs and files, as processes: what is printed, the exit code, and what was asked of a network."""

import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.builders.models import QWEN_DRAFTER, TINY
from tests.builders.sentencepiece import TEXTS, TYPES, Made, padded
from tests.hub_server import Hub, wait_for

DATA = os.urandom(20 << 20)
REPO, FILE = "owner/model-GGUF", "model-Q4_K_M.gguf"
NAME = f"hf:{REPO}:Q4_K_M"

# Runs speccas and writes down every attempt to reach a network.
SPY = """
import sys
log = open(sys.argv.pop(1), "a", buffering=1)
def hear(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        log.write(f"{event} {args[1:]}\\n")
sys.addaudithook(hear)
from speccas.cli.app import main
main()
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from speccas.cli.app import main; main()", *words]


def speccas(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end; variables come from the `hub` fixture. The time limit is a guard."""
    return subprocess.run(
        command(*words), env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def spied(log: Path, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SPY, str(log), *words],
        env={**os.environ, **environment}, input=stdin, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def write_pair(folder: Path, name: str, drafter: str, expert: str, **more: object) -> None:
    pairs = folder / "config/speccas/pairs"
    pairs.mkdir(parents=True, exist_ok=True)
    fields = {"name": name, "drafter": drafter, "expert": expert, "licence": "apache-2.0", **more}
    (pairs / f"{name}.yaml").write_text("\n".join(f"{key}: {value}" for key, value in fields.items()))


def cached(folder: Path) -> list[str]:
    return [each.name for each in (folder / "hf/hub").glob("models--*/blobs/*")]


# --- pull ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_pull_that_is_killed_at_40_percent_goes_on(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.pause_at = len(DATA) * 4 // 10
    first = subprocess.Popen(command("pull", NAME), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert hub.paused.wait(60)
    part = tmp_path / f"hf/hub/models--owner--model-GGUF/blobs/{served.sha256}.speccas.incomplete"
    wait_for(lambda: part.is_file() and part.stat().st_size > len(DATA) * 3 // 10)
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    before = hub.bytes_served
    served.pause_at = None
    again = speccas("pull", NAME)
    assert again.returncode == 0, again.stderr
    assert Path(again.stdout.strip()).read_bytes() == DATA
    assert hub.bytes_served < 1.1 * len(DATA) and hub.bytes_served - before < 0.7 * len(DATA)
    assert hub.asked("files")[-1].headers["range"].startswith("bytes=")
    assert cached(tmp_path) == [served.sha256]


@pytest.mark.slow
def test_two_pulls_at_once_leave_one_good_file(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.pause_at = len(DATA) // 2
    both = [subprocess.Popen(command("pull", NAME), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert hub.paused.wait(60)
    wait_for(lambda: len([each for each in hub.asked("hub") if "/api/" in each.path]) >= 2)
    hub.resume.set()
    answers = [each.communicate(timeout=60)[0].strip() for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert answers[0] == answers[1] and Path(answers[0]).read_bytes() == DATA
    assert cached(tmp_path) == [served.sha256]
    assert hub.bytes_served == len(DATA)


@pytest.mark.slow
def test_a_pull_of_what_is_here_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    first = speccas("pull", NAME)
    log = tmp_path / "log"
    for words in (["pull", NAME], ["pull", NAME, "--dry-run"], ["list"], ["verify", NAME]):
        again = spied(log, *words, HF_ENDPOINT="http://127.0.0.1:9")
        assert again.returncode == 0, again.stderr
        assert words[0] != "pull" or again.stdout == first.stdout
    assert log.read_text() == ""


@pytest.mark.slow
@pytest.mark.tiny
def test_a_cached_pair_answers_with_the_network_closed(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: TINY.read_bytes()})
    source = "{hf: owner/model-GGUF, quant: Q4_K_M}"
    write_pair(tmp_path, "twins", source, source)
    assert speccas("pull", "twins").returncode == 0
    log = tmp_path / "log"
    closed = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    model = ["--pair", "twins", "-n", "2"]
    for words in (
        ["run", "Hello", *model], ["chat", *model], ["compare", "Hello", *model], ["list"], ["pull", "twins"],
        ["show", "twins"], ["check", "twins"], ["verify", "twins"], ["doctor"],
    ):  # fmt: skip
        for offline in ({}, {"HF_HUB_OFFLINE": "1"}) if words[0] in ("chat", "pull", "list") else ({},):
            found = spied(log, *words, stdin="Hello\n", **closed, **offline)
            assert found.returncode == 0, found.stderr
            assert log.read_text() == "", words
    assert spied(log, "pull", "hf:owner/other", HF_ENDPOINT="http://127.0.0.1:9").returncode == 3
    assert "socket.connect" in log.read_text()  # the spy does hear


@pytest.mark.slow
def test_offline_without_the_cache(hub: Hub) -> None:
    hub.add(REPO, {FILE: DATA})
    for words in (["pull", NAME], ["run", "x", "--drafter", NAME, "--expert", NAME]):
        found = speccas(*words, HF_HUB_OFFLINE="1")
        assert found.returncode == 3
        assert found.stderr.startswith("error: ") and found.stderr.count("\n") == 2 and "Traceback" not in found.stderr
    assert not hub.seen


@pytest.mark.slow
def test_a_repository_is_pulled_and_removed_as_people_name_it(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: b"x" * 1000})
    page = f"https://huggingface.co/{REPO}/blob/main/{FILE}"
    for name in (REPO, f"{REPO}:Q4_K_M", page):
        found = speccas("pull", name)
        assert found.returncode == 0, found.stderr
        assert Path(found.stdout.strip()).name == FILE
    kept = json.loads((tmp_path / "state/speccas/lock.json").read_text())["models"]
    assert [each["pairs"] for each in kept.values()] == [[f"hf:{REPO}"], [f"hf:{REPO}:Q4_K_M"], [f"hf:{REPO}:{FILE}"]]
    removed = speccas("rm", REPO)
    assert removed.returncode == 0 and "kept" in removed.stdout
    missing = speccas("check", REPO, REPO)
    assert missing.returncode == 2 and f"write hf:{REPO}" in missing.stderr


def test_dry_run_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    found = speccas("pull", NAME, "--dry-run")
    assert found.stdout == f"0.02 GB to download ({len(DATA)} bytes)\n" and FILE in found.stderr
    assert not (tmp_path / "hf").exists() and not (tmp_path / "state").exists()


ENDS: dict[str, tuple[Callable[[Hub], object], str, int, str]] = {
    "gated": (lambda hub: hub.add(REPO, {FILE: DATA}, gated=True), NAME, 4, "hf auth login"),
    "private": (lambda hub: hub.add(REPO, {FILE: DATA}, private=True), NAME, 4, "private"),
    "missing": (lambda hub: None, NAME, 4, "does not exist"),
    "no such quant": (lambda hub: hub.add(REPO, {FILE: DATA}), f"hf:{REPO}:Q8_0", 2, "Q4_K_M (0.02 GB)"),
    "no such pair": (lambda hub: None, "tinny", 2, "did you mean 'tiny'"),
    "a wild name": (lambda hub: hub.add(REPO, {"../\x1b[2Jx.gguf": DATA}), f"hf:{REPO}", 5, "not a name"),
    "a wild licence": (lambda hub: hub.add(REPO, {FILE: b"x"}, licence="\x1b]0;t\x07"), NAME, 0, "licence"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", ENDS)
def test_how_a_pull_ends(hub: Hub, case: str) -> None:
    prepare, name, code, says = ENDS[case]
    prepare(hub)
    found = speccas("pull", name)
    assert found.returncode == code, found.stderr
    assert says in found.stderr and "Traceback" not in found.stderr
    assert "\x1b" not in found.stdout + found.stderr


@pytest.mark.slow
def test_a_wrong_byte_ends_in_exit_5_and_the_next_run_is_good(hub: Hub, tmp_path: Path) -> None:
    served = hub.add(REPO, {FILE: DATA}).files[FILE]
    served.claimed, served.data = served.sha256, DATA[:-1] + bytes([DATA[-1] ^ 1])
    found = speccas("pull", NAME)
    assert found.returncode == 5 and served.claimed in found.stderr and FILE in found.stderr
    assert cached(tmp_path) == []
    served.data = DATA
    assert speccas("pull", NAME).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a tmpfs needs root")
@pytest.mark.parametrize("late", [False, True])
def test_a_disk_that_is_too_small(hub: Hub, tmp_path: Path, late: bool) -> None:
    """Refused before the first byte; and, where somebody else fills the disk meanwhile, cleaned up."""
    hub.add(REPO, {FILE: DATA})
    small = tmp_path / "hf"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        lie = "import shutil; real = shutil.disk_usage; shutil.disk_usage = lambda p: real('/');" if late else ""
        found = subprocess.run(
            [sys.executable, "-c", f"{lie}from speccas.cli.app import main; main()", "pull", NAME],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert found.returncode == 6, found.stderr
        assert ("became full" if late else "GB free") in found.stderr
        assert bool(hub.asked("files")) is late
        assert cached(tmp_path) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.slow
def test_the_token_is_nowhere(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: b"not a model"})
    hub.token = "hf_secretsecretsecretsecret"
    results = [speccas(*words, HF_TOKEN=hub.token) for words in (["pull", NAME], ["check", NAME, NAME], ["show", NAME])]
    results.append(speccas("pull", NAME, "--update", HF_TOKEN="hf_wrongwrongwrong", HF_DEBUG="1"))
    assert [each.returncode for each in results] == [0, 5, 5, 4]
    said = "".join(each.stdout + each.stderr for each in results)
    assert "hf_secret" not in said and "hf_wrong" not in said and "Signature" not in said
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and hub.token.encode() in path.read_bytes()]
    assert kept == []


# --- list, verify, rm ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_list_says_have_partial_and_missing(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA, "model-Q8_0.gguf": DATA[:100]})
    write_pair(
        tmp_path, "half", "{hf: owner/model-GGUF, quant: Q4_K_M}", "{hf: a/b, quant: Q8_0, bytes: 5}", memory_gb=9e9
    )
    write_pair(tmp_path, "broken", "{pth: x}", "{path: y}")

    def listed() -> dict[str, dict[str, object]]:
        found = speccas("list", "--json")
        assert found.returncode == 0 and "unknown key 'pth'" in found.stderr
        return {pair["name"]: pair for pair in json.loads(found.stdout)["pairs"]}

    assert listed()["half"]["state"] == "missing"
    assert speccas("pull", NAME).returncode == 0
    half = listed()["half"]
    assert (half["state"], half["bytes"], half["fits"]) == ("partial", len(DATA) + 5, False)
    assert listed()["tiny"]["fits"] is True
    assert "half" in speccas("list").stdout


@pytest.mark.slow
@pytest.mark.parametrize(("width", "last"), [(48, "memory"), (80, "licence"), (100, "licence"), (120, "what")])
def test_list_shows_whole_cells_at_every_width(width: int, last: str) -> None:
    """At 110 columns and more the description once squeezed the licence to nothing."""
    program, *arguments = command("list")
    sized = ("COLUMNS", "LINES")
    env = {**{name: value for name, value in os.environ.items() if name not in sized}, "TERM": "xterm-256color"}
    child = pexpect.spawn(program, arguments, dimensions=(40, width), encoding="utf-8", timeout=60, env=env)
    child.expect(pexpect.EOF)
    lines = re.sub(r"\x1b\[[\d;]*m", "", str(child.before)).splitlines()
    heads = ["pair", "size", "here", "memory", "fits", "licence", "what"]
    assert lines[0].split() == heads[: heads.index(last) + 1], lines
    assert all(len(line) <= width for line in lines[:-1])
    tiny = re.split(r" {2,}", lines[1])
    assert tiny[:5] == ["tiny", "0.11 GB", "have", "0.5 GB", "yes"][: len(tiny)]
    if last in ("licence", "what"):
        assert tiny[5] == "apache-2.0" and any("llama3.1, llama3.2" in line for line in lines)
    sizes = [float(found[1]) for line in lines if (found := re.search(r"([\d.]+) GB +(?:yes|no)\b", line))]
    assert sizes == sorted(sizes)


def test_list_does_not_make_up_the_memory_that_a_profile_leaves_out(hub: Hub, tmp_path: Path) -> None:
    write_pair(tmp_path, "mine", "{path: x.gguf}", "{path: y.gguf}")
    mine = next(pair for pair in json.loads(speccas("list", "--json").stdout)["pairs"] if pair["name"] == "mine")
    assert mine["memory_gb"] is None and mine["fits"] is None
    line = next(line for line in speccas("list").stdout.splitlines() if line.startswith("mine "))
    assert line.split()[1:5] == ["?", "missing", "?", "?"]


def test_list_in_a_pipe_is_whole() -> None:
    found = speccas("list", COLUMNS="40")
    assert "SmolLM2-135M-Instruct, drafted by a 22-million-parameter model of ours" in found.stdout


@pytest.mark.slow
def test_verify_and_rm(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {FILE: DATA})
    hub.add("owner/large", {"large-Q4_K_M.gguf": DATA[:1000]})
    hub.add("owner/huge", {"huge-Q4_K_M.gguf": DATA[:2000]})
    small = "{hf: owner/model-GGUF, quant: Q4_K_M}"
    write_pair(tmp_path, "one", small, "{hf: owner/large, quant: Q4_K_M}")
    write_pair(tmp_path, "two", small, "{hf: owner/huge, quant: Q4_K_M}")
    assert speccas("pull", "one").returncode == speccas("pull", "two").returncode == 0
    found = speccas("rm", "one")
    assert found.returncode == 0 and "used by two" in found.stdout and "freed 0.00 GB (1000 bytes)" in found.stdout
    checked = speccas("verify", "two")
    assert checked.returncode == 0 and checked.stdout.count("right") == 2
    blob = next((tmp_path / "hf/hub/models--owner--huge/blobs").iterdir())
    blob.write_bytes(DATA[:1999] + b"\0")
    wrong = speccas("verify")
    assert wrong.returncode == 5 and "deleted" in wrong.stderr and not blob.exists()
    assert speccas("pull", "two").returncode == 0
    assert f"freed 0.02 GB ({len(DATA) + 2000} bytes)" in speccas("rm", "two").stdout
    assert speccas("rm", "two").returncode == 2
    assert cached(tmp_path) == []


def test_rm_never_touches_files_that_were_not_downloaded() -> None:
    for name in ("tiny", str(TINY)):
        assert speccas("rm", name).returncode == 2
    assert TINY.is_file()


# --- check, show, doctor ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_check_reads_only_headers_of_hub_files(hub: Hub, tmp_path: Path) -> None:
    if not QWEN_DRAFTER.is_file():
        pytest.skip("no Qwen file")
    with QWEN_DRAFTER.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        hub.add("owner/qwen", {"qwen-Q4_K_M.gguf": data}).files["qwen-Q4_K_M.gguf"].claimed = "a" * 64
        hub.add(REPO, {FILE: TINY.read_bytes()})
        found = speccas("check", NAME, "hf:owner/qwen", "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["verdict"] == "overlapping" and document["tokens"][0]["id"] == 0
    assert hub.bytes_served < 16 << 20
    assert not (tmp_path / "hf").exists() or cached(tmp_path) == []


@pytest.mark.slow
def test_padded_sentencepiece_is_checked_before_the_download(hub: Hub, tmp_path: Path) -> None:
    """As Gemma 3 has it: 262,144 tokens in the small files, 262,208 in the large ones."""
    sizes = {"small": 262_144 - len(TEXTS), "large": 262_208 - len(TEXTS)}
    for name, count in sizes.items():
        hub.add(f"owner/{name}", {"m-Q8_0.gguf": padded(count).head()})
    found = speccas("check", "hf:owner/small", "hf:owner/large", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["verdict"] == "padded"
    assert cached(tmp_path) == []


@pytest.mark.slow
def test_sentencepiece_pairs_run_and_are_refused_for_what_is_true(tmp_path: Path) -> None:
    files = {
        "d": padded(0, noise=0.006), "e": padded(64), "far": Made([f"x{text}" for text in TEXTS], TYPES),
        "t5": Made(["<x>", *TEXTS[1:]], TYPES, "t5"), "t5-word": Made([*TEXTS[:-1], "zebra"], TYPES, "t5"),
    }  # fmt: skip
    paths = {name: str(made.write(tmp_path / f"{name}.gguf")) for name, made in files.items()}
    pair = ["--drafter", paths["d"], "--expert", paths["e"], "-n", "24", "--ignore-eos", "-k", "4", "--rule"]
    alone, exact = (speccas("run", "hello in the", *pair, rule) for rule in ("expert", "exact"))
    assert alone.returncode == exact.returncode == 0, exact.stderr
    assert alone.stdout == exact.stdout and len(alone.stdout) > 1
    spell = "lacks 1 of the expert's tokens, such as 'zebra', and cannot spell them"
    for drafter, expert, reason in (("far", "e", "two different tokenizers"), ("t5", "t5-word", spell)):
        found = speccas("check", paths[drafter], paths[expert])
        assert found.returncode == 7 and reason in " ".join((found.stdout + found.stderr).split())
    found = speccas("run", "x", "--drafter", paths["t5"], "--expert", paths["t5-word"])
    assert found.returncode == 7 and spell in found.stderr


@pytest.mark.slow
def test_check_of_what_cannot_be_paired(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(TINY.read_bytes()[:100_000])
    text = tmp_path / "text.gguf"
    text.write_text("<html>")
    for file, code in ((cut, 5), (text, 5), (tmp_path / "none.gguf", 2), (tmp_path, 2)):
        found = speccas("check", str(file), str(TINY))
        assert found.returncode == code and "Traceback" not in found.stderr
    assert speccas("check", str(TINY)).returncode == 2
    assert speccas("check", "tiny").returncode == 0


@pytest.mark.slow
def test_show_and_doctor_as_json(hub: Hub) -> None:
    shown = json.loads(speccas("show", "tiny", "--ctx", "2048", "--json").stdout)
    assert shown["vocabulary"]["verdict"] == "head" and shown["memory"]["context"] == 2048
    small = json.loads(speccas("show", "tiny-model", "--json").stdout)
    assert small["vocabulary"]["verdict"] == "subset" and small["memory"]["context"] == 4096
    assert len(shown["models"]["expert"]["template_sha256"]) == 64
    report = json.loads(speccas("doctor", "--json", HF_HUB_OFFLINE="1").stdout)
    assert report["llama_cpp"]["loads"] and report["cache"]["offline"] and report["schema"] == 1


@pytest.mark.parametrize("name", ["list", "pull", "show", "check", "verify", "rm", "doctor"])
def test_help_imports_nothing_heavy(name: str) -> None:
    heavy = ["numpy", "llama_cpp", "yaml", "huggingface_hub", "rich.progress", "jinja2", "psutil"]
    program = f"""
import sys
from speccas.cli.app import app
try: app([{name!r}, "--help"], standalone_mode=False)
except SystemExit: pass
print([each for each in {heavy} if each in sys.modules], file=sys.stderr)"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert found.stderr.strip() == "[]"


# --- memory -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.tiny
def test_too_large_a_context_is_refused_before_loading() -> None:
    found = speccas("run", "x", "--ctx", "16000000", "-n", "1")
    assert found.returncode == 6, found.stderr
    assert "--ctx" in found.stderr and "largest that fits" in found.stderr
    assert speccas("run", "x", "--ctx", "auto", "-n", "1").returncode == 0
    assert speccas("run", "x", "--ctx", "car", "-n", "1").returncode == 2


@pytest.mark.slow
@pytest.mark.tiny
def test_check_measures_where_it_is_asked_to() -> None:
    found = speccas("check", "tiny-model", "--measure", "--threads", "1", "--json")
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    measured = document["measured"]
    assert document["verdict"] == "subset" and 0.28 < document["single"] < 0.3
    assert (measured["prompts"], measured["mass"], measured["below_half"]) == (12, 1.0, 0.0)
    assert 0 < measured["agreement"] < 1 and 0 < measured["acceptance"] < 1 and "drafter" in measured["verdict"]
    assert json.loads(speccas("check", "tiny-model", "--json").stdout)["measured"] is None
