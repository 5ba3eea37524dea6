"""`speccas bench` on the tiny pair, in real processes: killed and resumed, and every figure of its report made again.

The second half recomputes the tables from samples.jsonl alone. It imports nothing of core/bench on purpose.
"""

import csv
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t

from speccas.cli.installed import extra_line
from tests.builders.tiers import few_fast

Run = Callable[..., "subprocess.CompletedProcess[str]"]
RULES = ("--rule", "token:0.2,0.9", "--rule", "confidence")
PAIR = ("--pair", "tiny-model")  # of which the drafter can write by itself
FLAGS = (*PAIR, "--prompts", "builtin", "--limit", "6", "--repeats", "2", "-n", "10", "--allow-code", *RULES)
ARMS = ["expert", "drafter", "exact", "confidence", "token:0.2", "token:0.9"]
ANSWERS = 6 * 2 * len(ARMS)


@dataclass(frozen=True)
class Killed:
    """A run that was killed with SIGKILL, torn, and resumed."""

    folder: Path
    before: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    report: dict[str, Any]
    resumed: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, script: str, clean: Mapping[str, str]) -> Killed:
    folder = tmp_path_factory.mktemp("bench") / "out"
    file = folder / "samples.jsonl"
    command = [script, "bench", *FLAGS, "--report", str(folder)]
    process = subprocess.Popen(command, env=dict(clean), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (file.exists() and file.read_bytes().count(b"\n") >= 9):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    time.sleep(0.3)  # the guarded child dies with its parent, a moment later
    whole = file.read_bytes().rpartition(b"\n")[0] + b"\n"
    file.write_bytes(whole + b'{"name": "exact", "rule": "ex')
    before = [json.loads(line) for line in whole.splitlines()]
    resumed = subprocess.run([*command, "--resume"], env=dict(clean), capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 0, resumed.stderr
    samples = [json.loads(line) for line in file.read_text().splitlines()]
    return Killed(folder, before, samples, json.loads((folder / "report.json").read_text()), resumed)


def key(sample: Mapping[str, Any]) -> tuple[Any, ...]:
    return sample["prompt_id"], sample["repeat"], sample["name"], sample["k"]


@pytest.mark.tiny
def test_two_prompts(speccas: Run, tmp_path: Path) -> None:
    """Every arm answers both, and the report is written; the tests of a longer run are slow."""
    folder = tmp_path / "out"
    size = ("--limit", "2", "--repeats", "1", "-n", "4")
    done = speccas("bench", *PAIR, *size, "--rule", "exact", "--report", str(folder))
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert sorted(sample["name"] for sample in samples) == sorted(["drafter", "exact", "expert"] * 2)
    assert {sample["prompt_id"] for sample in samples} == {"chat-1", "code-1"}
    assert {each.name for each in folder.iterdir()} >= {"report.html", "report.json", "report.csv", "report.md"}


@pytest.mark.slow
@pytest.mark.tiny
def test_a_killed_run_goes_on_without_losing_or_repeating_a_sample(killed: Killed) -> None:
    assert 9 <= len(killed.before) < ANSWERS
    later = {"speedup", "identical_to_expert", "first_difference", "first_difference_gap"}
    for old, new in zip(killed.before, killed.samples, strict=False):
        assert {k: v for k, v in old.items() if k not in later} == {k: v for k, v in new.items() if k not in later}
    assert len({key(sample) for sample in killed.samples}) == len(killed.samples) == ANSWERS
    assert killed.report["complete"] and [arm["label"] for arm in killed.report["arms"]] == ARMS


@pytest.mark.slow
@pytest.mark.tiny
def test_answers_after_the_kill_are_those_of_before(killed: Killed) -> None:
    """Greedy: every repeat of an arm gives the same tokens, whichever process wrote them."""
    texts: dict[tuple[str, str], set[tuple[int, ...]]] = {}
    for sample in killed.samples:
        texts.setdefault((sample["prompt_id"], sample["name"]), set()).add(tuple(sample["ids"]))
    assert {len(each) for each in texts.values()} == {1}
    assert all(texts[prompt, "exact"] == texts[prompt, "expert"] for prompt, _ in texts)


@pytest.mark.slow
@pytest.mark.tiny
def test_arms_are_interleaved_and_the_second_repeat_is_the_mirror(killed: Killed) -> None:
    orders: dict[tuple[str, int], list[str]] = {}
    for sample in sorted(killed.samples, key=lambda s: s["order"]):
        orders.setdefault((sample["prompt_id"], sample["repeat"]), []).append(sample["name"])
    prompts = {prompt for prompt, _ in orders}
    assert all(sorted(order) == sorted(ARMS) for order in orders.values())
    assert all(orders[prompt, 0] == orders[prompt, 1][::-1] for prompt in prompts)
    assert len({tuple(orders[prompt, 0]) for prompt in prompts}) > 1


@pytest.mark.slow
@pytest.mark.tiny
def test_every_arm_starts_from_the_same_prompt_and_none_is_warm(killed: Killed) -> None:
    for sample in killed.samples:
        assert sample["prefill_seconds"] > 0 and sample["ttft_ms"] > 1e3 * sample["prefill_seconds"]
        assert len(sample["ids"]) == sample["tokens"] == sum(sample["round_tokens"])
        assert len(sample["round_ends_ms"]) == len(sample["round_tokens"])
        assert sample["round_ends_ms"] == sorted(sample["round_ends_ms"])


@pytest.mark.slow
@pytest.mark.tiny
def test_the_page_is_self_contained_and_shows_the_frontier(killed: Killed) -> None:
    page = (killed.folder / "report.html").read_text()
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|@import|url\(|\son\w+=", page)
    assert not [at for at in re.findall(r"https?://[^\s\"<]+", page) if at != "http://www.w3.org/2000/svg"]
    assert "Speed-up against" in page and page.count("<svg") >= 3 and "outside the plot" in page
    for arm in ARMS:
        assert f">{arm}</td>" in page
    for sha in (killed.report["manifest"][role]["sha256"] for role in ("drafter", "expert")):
        assert sha in page


@pytest.mark.slow
@pytest.mark.tiny
def test_a_browser_shows_the_frontier(killed: Killed, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom")
    done = subprocess.run([chromium, *flags, (killed.folder / "report.html").as_uri()], capture_output=True, timeout=60)
    shown = done.stdout.decode()
    assert "<polyline" in shown and "<h2>Acceptance by group</h2>" in shown and "token:0.9</text>" in shown


@pytest.mark.slow
@pytest.mark.tiny
def test_a_lossy_speed_up_never_stands_without_quality(killed: Killed) -> None:
    title, columns, rows = tables(killed.folder)[0]
    assert title == "Speed and quality"
    assert columns[-1] == "quality loss"
    assert all(row[-1] for row in rows)
    assert "tokens/s = tokens / seconds" in killed.resumed.stdout and "peak memory" in killed.resumed.stdout


@pytest.mark.slow
@pytest.mark.tiny
def test_resuming_a_finished_run_plays_nothing_and_says_the_same(killed: Killed, speccas: Run) -> None:
    before = (killed.folder / "samples.jsonl").read_bytes()
    done = speccas("bench", *FLAGS, "--report", str(killed.folder), "--resume", "--json")
    assert done.returncode == 0
    assert (killed.folder / "samples.jsonl").read_bytes() == before
    assert json.loads(done.stdout)["arms"] == killed.report["arms"]


@pytest.mark.slow
@pytest.mark.tiny
def test_other_flags_do_not_go_on_in_the_same_directory(killed: Killed, speccas: Run) -> None:
    done = speccas("bench", *FLAGS, "--report", str(killed.folder), "--resume", "--temperature", "0.5")
    assert done.returncode == 2 and "temperature: 0.0, now 0.5" in done.stderr
    done = speccas("bench", *FLAGS, "--report", str(killed.folder))
    assert done.returncode == 2 and "--resume" in done.stderr


@pytest.mark.slow
@pytest.mark.tiny
def test_fail_if_slower_goes_by_the_interval(killed: Killed, speccas: Run) -> None:
    """The samples of a finished run with their times changed: only the interval decides, not this machine."""
    for factor, code in ((0.5, 1), (0.97, 0), (2.0, 0)):
        folder = killed.folder.parent / f"slow-{factor}"
        folder.mkdir()
        (folder / "manifest.json").write_bytes((killed.folder / "manifest.json").read_bytes())
        experts = {
            (s["prompt_id"], s["repeat"]): s["tokens_per_second"] for s in killed.samples if s["name"] == "expert"
        }
        lines = []
        for sample in killed.samples:
            speed = experts[sample["prompt_id"], sample["repeat"]]
            lines.append({**sample, "tokens_per_second": speed if sample["name"] == "expert" else factor * speed})
        (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        done = speccas("bench", *FLAGS, "--report", str(folder), "--resume", "--fail-if-slower", "5%")
        assert done.returncode == code, done.stderr
        if code:
            assert "confidence 0.50x" in done.stderr and "exact" not in done.stderr


@pytest.mark.slow
@pytest.mark.tiny
def test_two_runs_compare_prompt_by_prompt(killed: Killed, speccas: Run) -> None:
    other = json.loads(json.dumps(killed.report))
    other["manifest"]["k"] = 8
    for arm in other["arms"]:
        for figures in arm["per_prompt"].values():
            figures["tokens_per_second"] *= 1.5
    file = killed.folder.parent / "faster.json"
    file.write_text(json.dumps(other))
    done = speccas("bench", "--compare", str(killed.folder), str(file))
    assert done.returncode == 0, done.stderr
    assert "k: 4 in A, in B 8" in done.stdout and done.stdout.count("1.50x [1.50, 1.50]") == len(ARMS)
    assert "not interleaved" in done.stdout
    same = json.loads(speccas("bench", "--compare", str(killed.folder), str(killed.folder), "--json").stdout)
    assert {arm["verdict"] for arm in same["arms"]} == {"no difference shown"} and not same["differences"]
    file.write_text("{}")
    assert speccas("bench", "--compare", str(file), str(file)).returncode == 5
    assert speccas("bench", "--compare", "none.json", "none.json").returncode == 2


@pytest.mark.slow
@pytest.mark.tiny
def test_above_temperature_0_each_token_rule_has_its_filter_beside_it(speccas: Run, tmp_path: Path) -> None:
    prompts = tmp_path / "two.jsonl"
    prompts.write_text('{"prompt": "Hello."}\n{"prompt": "' + "long " * 300 + '"}\n{"turns": ["Why?", "And then?"]}\n')
    done = speccas(
        "bench", *PAIR, "--prompts", str(prompts), "--repeats", "2", "-n", "6", "--rule", "token:0.4", "-k", "2,auto",
        "--temperature", "0.9", "--ctx", "256", "--report", str(tmp_path / "out"), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    labels = [arm["label"] for arm in report["arms"]]
    assert labels == [
        "expert",
        "drafter",
        "exact k=2",
        "exact k=auto",
        "token:0.4 k=2",
        "token:0.4 k=auto",
        "expert min-p=0.6",
    ]
    assert list(report["skipped"]) == ["2"] and "context" in report["skipped"]["2"]
    assert report["manifest"]["bench"]["later_turns"] == 1
    samples = [json.loads(line) for line in (tmp_path / "out/samples.jsonl").read_text().splitlines()]
    repeats = {tuple(s["ids"]) for s in samples if s["name"] == "expert" and s["prompt_id"] == "1"}
    assert len(repeats) == 2, "repeats of a sampled answer are other answers"
    assert {s["identical_to_expert"] for s in samples} == {None}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    few_fast(
        [
            (["--prompts", "none.jsonl"], "cannot read the prompts"),
            (["--rule", "0.3"], "follows no rule"),
            (["--rule", "token:0.2,7"], "7"),
            (["--rule", "tokn"], "did you mean"),
            (["-k", "2,99"], "99"),
            (["-k", "2,"], "out of range"),
            (["--peer", "ollama"], "no peer"),
            (["--fail-if-slower", "much"], "out of range"),
            (["--fail-if-slower", "5", "--limit", "5"], "shows nothing with 5 prompts"),
            (["--report", "/dev/null/x"], "cannot make"),
        ],
        1,
    ),
)
def test_wrong_flags_end_before_a_model_is_loaded(
    speccas: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = speccas("bench", *arguments)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--frontier", "-k", "2,4"), 2, "give one -k"),
        (("--machine", "x.json"), 2, "--machine goes with --frontier"),
        (("--frontier", "--machine", "no-such.json"), 2, "cannot read no-such.json"),
        (("--frontier", "--rule", "nope:0.5"), 2, "no rule"),
        (("--frontier", "--compare", "a", "b"), 2, "--frontier has no use there"),
    ],
)
def test_a_frontier_wants_one_length_and_a_machine_that_is_there(
    speccas: Run, tmp_path: Path, flags: tuple[str, ...], code: int, said: str
) -> None:
    done = speccas("bench", *flags, "--report", str(tmp_path / "run"))
    assert (done.returncode, done.stdout) == (code, "") and said in done.stderr
    assert not (tmp_path / "run").exists() and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.tiny
def test_a_frontier_of_the_tiny_pair(script: str, clean: Mapping[str, str], tmp_path: Path) -> None:
    flags = (*PAIR, "--frontier", "--rule", "token:0.3,0.9", "-k", "2", "-n", "4", "--limit", "13", "--threads", "1")
    command = [script, "bench", *flags, "--report", str(tmp_path), "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(clean), timeout=400)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["frontier"]
    assert found["prompts"] == 13 and {each["method"] for each in found["duels"]} == {"token"}
    arms = {each["arm"]: each for each in found["arms"]}
    assert arms["expert"]["measured"] == arms["expert"]["elsewhere"] == arms["expert"]["calls"] == 1
    assert arms["exact"]["log_prob"]["value"] == 0 and arms["exact"]["calls"] < 1
    assert arms["drafter"]["calls"] == 0 and arms["lossy:0.6"]["prompts"] == 13
    assert len(found["claims"]) == 6 and "Cost against" in (tmp_path / "report.html").read_text()


def test_what_the_extra_lacks_is_named(
    clean: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import sys; sys.modules['sacrebleu'] = None; sys.argv[1:] = ['bench']\n"
    source += "import speccas.cli.app as app; app.main()"
    done = subprocess.run([sys.executable, "-c", source], env=dict(clean), cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3
    monkeypatch.chdir(tmp_path)
    assert "sacrebleu" in done.stderr and f"hint: {extra_line('bench')}\n" in done.stderr


# From here on: the tables again, from samples.jsonl alone.


Lines = list[dict[str, Any]]


def tables(folder: Path) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, columns and rows of every table in report.md."""
    found: list[tuple[str, list[str], list[list[str]]]] = []
    for part in (folder / "report.md").read_text().split("**")[1:]:
        lines = [line for line in part.splitlines() if line.startswith("|")]
        if lines:
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            found[-1] = (found[-1][0], cells[0], cells[2:])
        else:
            found.append((part.strip(), [], []))
    return [each for each in found if each[1]]


def interval(values: Sequence[float], statistic: Callable[..., Any]) -> tuple[float, float, float]:
    """A percentile bootstrap over prompts: 4000 resamples, seed 0; of a mean, Hesterberg's expanded percentiles."""
    data, n = np.array(values), len(values)
    tail = 0.025 if statistic is np.median else float(norm.cdf(-((n / (n - 1)) ** 0.5) * t.ppf(0.975, n - 1)))
    draws = statistic(data[np.random.default_rng(0).integers(0, n, (4000, n))], axis=1)
    low, high = np.quantile(draws, (tail, 1 - tail))
    return float(statistic(data)), float(low), float(high)


def near(cell: str, *wanted: float) -> None:
    """Every number of a cell, to the digits that it shows."""
    numbers = re.findall(r"[-+]?\d+(?:\.\d+)?%?", cell)
    assert len(numbers) == len(wanted), (cell, wanted)
    for text, value in zip(numbers, wanted, strict=True):
        scaled, plain = (100 * value, text[:-1]) if text.endswith("%") else (value, text)
        digits = len(plain.partition(".")[2])
        assert abs(float(plain) - scaled) <= 0.5001 * 10**-digits, (cell, wanted)


def blocks(samples: Lines, arm: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each sample of an arm with the expert's of the same prompt and repeat."""
    experts = {(s["prompt_id"], s["repeat"]): s for s in samples if s["name"] == "expert"}
    return [(s, experts[s["prompt_id"], s["repeat"]]) for s in samples if s["name"] == arm]


def each_prompt(
    pairs: list[tuple[Any, Any]], value: Callable[[Any, Any], float], how: Callable[..., float]
) -> list[float]:
    found: dict[str, list[float]] = {}
    for own, expert in pairs:
        found.setdefault(own["prompt_id"], []).append(value(own, expert))
    return [how(values) for values in found.values()]


def column(samples: Lines, arm: str, name: str) -> Callable[[str], None]:
    """What the cell of a column must be, as a check of its text."""
    pairs = blocks(samples, arm)
    own = [sample for sample, _ in pairs]

    def total(key: str) -> float:
        return float(sum(sample[key] for sample in own))

    def ratio(cell: str, above: str, below: str) -> None:
        if any(sample[above] is None for sample in own) or not total(below):
            assert cell == "-"
        else:
            near(cell, total(above) / total(below))

    def medians(cell: str, value: Callable[[Any, Any], float]) -> None:
        near(cell.replace("x", ""), *interval(each_prompt(pairs, value, statistics.median), np.median))

    def flat(cell: str) -> None:
        costs = [sample["tokens"] / sample["speedup_if_flat"] for sample in own if sample["speedup_if_flat"]]
        near(cell.removesuffix("x"), total("tokens") / sum(costs))

    def accepted(cell: str) -> None:
        if own[0]["judged"] is None:
            assert cell == "-"
        else:
            near(cell, (total("agreed") + total("kept")) / total("judged"))

    def speed(a: Any, b: Any) -> float:
        return float(a["tokens_per_second"] / b["tokens_per_second"])

    checks: dict[str, Callable[[str], None]] = {
        "tokens/s": lambda cell: near(
            cell, statistics.median(each_prompt(pairs, lambda a, _: a["tokens_per_second"], statistics.median))
        ),
        "speed-up": lambda cell: medians(cell, speed),
        "answer": lambda cell: near(
            cell.removesuffix("x"),
            statistics.median(each_prompt(pairs, lambda a, b: b["seconds"] / a["seconds"], statistics.median)),
        ),
        "length": lambda cell: medians(cell, lambda a, b: a["tokens"] / b["tokens"]),
        "acceptance": accepted,
        "kept": lambda cell: ratio(cell, "kept", "tokens"),
        "deferred": lambda cell: ratio(cell, "deferred", "tokens"),
        "if flat": flat,
        "tokens/call": lambda cell: ratio(cell, "tokens", "expert_calls"),
        "drafter": lambda cell: ratio(cell, "draft_seconds", "seconds"),
        "expert": lambda cell: ratio(cell, "verify_seconds", "seconds"),
        "rest": lambda cell: ratio(cell, "overhead_seconds", "seconds"),
        "agrees": lambda cell: near(
            cell,
            statistics.fmean(SequenceMatcher(None, a["ids"], b["ids"], autojunk=False).ratio() for a, b in pairs),
        ),
        "same text": lambda cell: near(cell, statistics.fmean(a["ids"] == b["ids"] for a, b in pairs)),
        "cut off": lambda cell: near(cell, statistics.fmean(a["finish"] == "length" for a in own)),
        "prompts": lambda cell: near(cell, len({a["prompt_id"] for a in own})),
        "answers": lambda cell: near(cell, len(own)),
    }
    return checks[name]


def scores(samples: Lines, arm: str, kind: str) -> tuple[list[float], list[float]]:
    """An arm's and the expert's figure on each prompt that has it."""
    members = {"right": ("numeric", "match", "pass@1")}.get(kind, (kind,))
    pairs = [pair for pair in blocks(samples, arm) if kind == "log-prob" or pair[0]["scorer"] in members]
    field = "expert_logprob" if kind == "log-prob" else "score"
    mine = each_prompt(pairs, lambda a, _: a[field], statistics.fmean)
    return mine, each_prompt(pairs, lambda _, b: b[field], statistics.fmean)


def check_score(samples: Lines, arm: str, kind: str, value: str, change: str) -> None:
    mine, theirs = scores(samples, arm, kind)
    parts = {"right": [len(mine)], "log-prob": []}.get(kind, [len(mine)])
    near(value, statistics.fmean(mine), *parts)
    differences = [a - b for a, b in zip(mine, theirs, strict=True)]
    if arm == "expert":
        assert change == "-"
    elif len(mine) < 6:
        near(change, statistics.fmean(differences), len(mine))
    else:
        near(change, *interval(differences, np.mean))


@pytest.mark.slow
@pytest.mark.tiny
def test_every_figure_of_the_tables_can_be_made_again_from_the_samples(killed: Killed) -> None:
    found = {title: (columns, rows) for title, columns, rows in tables(killed.folder)}
    samples = killed.samples
    assert len(found) == 8
    for title in ("Speed and quality", "Checked answers"):
        columns, rows = found[title]
        for row in rows:
            for i, name in enumerate(columns):
                if name in ("tokens/s", "speed-up", "answer"):
                    column(samples, row[0], name)(row[i])
                elif name in ("right", "bleu", "rouge", "log-prob"):
                    check_score(samples, row[0], name, row[i], row[i + 1])
                elif name == "lost, won" and row[0] != "expert":
                    mine, theirs = scores(samples, row[0], "right")
                    lost = sum(b >= 0.5 > a for a, b in zip(mine, theirs, strict=True))
                    won = sum(a >= 0.5 > b for a, b in zip(mine, theirs, strict=True))
                    near(row[i].replace(",", ""), lost, won)
                    p_value = binomtest(lost, lost + won).pvalue if lost + won else 1.0
                    assert row[i + 1] == f"{p_value:.2g}"
    for title in ("Drafting and time", "Text"):
        columns, rows = found[title]
        for row in rows:
            for name, cell in zip(columns[1:], row[1:], strict=True):
                column(samples, row[0], name)(cell)
    check_verdicts(samples, *found["Speed and quality"])
    check_times(samples, found)
    check_groups(samples, *found["Speed-up by group (acceptance; right or score)"])


def check_verdicts(samples: Lines, columns: list[str], rows: list[list[str]]) -> None:
    for row in rows:
        verdict, judged = row[columns.index("verdict")], row[columns.index("quality loss")]
        if row[0] == "expert":
            assert (verdict, judged) == ("-", "-")
            continue
        pairs = blocks(samples, row[0])
        rates = each_prompt(pairs, lambda a, b: a["tokens_per_second"] / b["tokens_per_second"], statistics.median)
        whole = statistics.median(each_prompt(pairs, lambda a, b: b["seconds"] / a["seconds"], statistics.median))
        _, low, high = interval(rates, np.median)
        assert verdict == ("faster" if low > 1 and whole > 1 else "slower" if high < 1 else "no difference shown")
        mine, theirs = scores(samples, row[0], "log-prob")
        _, low, high = interval([a - b for a, b in zip(mine, theirs, strict=True)], np.mean)
        if all(a["ids"] == b["ids"] for a, b in pairs):
            assert judged == "none: same text"
        elif judged.endswith("(log-prob)"):
            word = "small at most" if low > -0.05 else "loss" if high < 0 else "not shown"
            assert judged == f"{word} (log-prob)"
        else:
            assert judged.endswith("(right)")


def check_times(samples: Lines, found: Mapping[str, tuple[list[str], list[list[str]]]]) -> None:
    def gaps(arm: str) -> list[tuple[float, int]]:
        return [
            (b - a, n)
            for s in samples
            if s["name"] == arm
            for a, b, n in zip(s["round_ends_ms"], s["round_ends_ms"][1:], s["round_tokens"][1:], strict=False)
        ]

    values: dict[str, Callable[[str], list[float]]] = {
        "Time to first token, ms": lambda arm: [s["ttft_ms"] for s in samples if s["name"] == arm],
        "Gap between rounds, ms": lambda arm: [gap for gap, _ in gaps(arm)],
        "Inter-token latency, ms": lambda arm: [gap / n for gap, n in gaps(arm) for _ in range(n)],
    }
    for title, take in values.items():
        columns, rows = found[title]
        assert columns == ["arm", "P50", "P90", "P95", "P99", "n"]
        for arm, p50, p90, p95, p99, n in rows:
            data = take(arm)
            assert int(n) == len(data)
            for cell, share in ((p50, 50), (p90, 90), (p95, 95)):
                near(cell, float(np.percentile(data, share)))
            if len(data) < 100:
                assert p99 == "n/a"
            else:
                near(p99, float(np.percentile(data, 99)))


def check_groups(samples: Lines, columns: list[str], rows: list[list[str]]) -> None:
    for row in rows:
        for group, cell in zip(columns[1:], row[1:], strict=True):
            lines = [s for s in samples if s["group"] == group]
            pairs = blocks(lines, row[0])
            speed = each_prompt(pairs, lambda a, b: a["tokens_per_second"] / b["tokens_per_second"], statistics.median)
            wanted = [statistics.median(speed)]
            own = [a for a, _ in pairs]
            if own[0]["judged"] is not None:
                wanted.append(sum(a["agreed"] + a["kept"] for a in own) / sum(a["judged"] for a in own))
            if own[0]["score"] is None:
                assert "not measured" in cell
            else:
                wanted.append(statistics.fmean(a["score"] for a in own))
            near(cell.replace("x", "").replace("(-", ""), *wanted)


@pytest.mark.slow
@pytest.mark.tiny
def test_csv_and_json_say_what_the_samples_say(killed: Killed) -> None:
    with (killed.folder / "report.csv").open() as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    for arm in killed.report["arms"]:
        pairs = blocks(killed.samples, arm["label"])
        ratios = each_prompt(pairs, lambda a, b: a["tokens_per_second"] / b["tokens_per_second"], statistics.median)
        value, low, high = interval(ratios, np.median)
        assert [arm["speedup"][name] for name in ("value", "low", "high", "n")] == pytest.approx([value, low, high, 6])
        assert float(rows[arm["label"]]["speedup.value"]) == pytest.approx(value)
        assert arm["per_prompt"].keys() == {a["prompt_id"] for a, _ in pairs}
    assert killed.report["peak_memory_bytes"] == max(s["peak_memory_bytes"] for s in killed.samples)
    assert killed.report["load_seconds"] == killed.samples[0]["load_seconds"]
    for sample, expert in ((a, b) for arm in ARMS for a, b in blocks(killed.samples, arm)):
        assert sample["speedup"] == pytest.approx(sample["tokens_per_second"] / expert["tokens_per_second"])
        assert sample["identical_to_expert"] == (sample["ids"] == expert["ids"])
        if not sample["identical_to_expert"]:
            first = sample["first_difference"]
            assert sample["ids"][:first] == expert["ids"][:first]
            assert sample["ids"][first : first + 1] != expert["ids"][first : first + 1]
