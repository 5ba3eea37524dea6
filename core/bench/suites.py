"""Prompt sets: JSON lines, one prompt a line, to checked `Item`s.

Read as they are: our own (`prompt`, with `answer`, `reference` or `test`), GSM8K (`question`, `answer`), HumanEval
(`prompt`, `test`, `entry_point`; gzipped as it is published, or not) and Spec-Bench or MT-bench (`turns`: the first is
asked, because later ones depend on the answer, and the arms would no longer get the same prompt).
"""

import gzip
import hashlib
import importlib.resources
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import IntegrityError, NotInstalled, SpeccasError, Unavailable, UsageError

MAX_BYTES = 64 << 20
GZIP = b"\x1f\x8b"
ASK = "Complete this Python function. Answer with the whole function in one code block.\n\n```python\n{}\n```"
FORMAT = "each line a JSON object with prompt, question or turns, and where there is one answer, reference or test"


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt and what its answer can be checked against."""

    id: str
    group: str
    prompt: str
    answer: tuple[str, ...] = ()
    """Accepted answers; of a number, one."""
    reference: str = ""
    test: str = ""
    entry_point: str = ""
    code: str = ""
    """What a program made of the answer begins with."""
    scorer: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """A prompt set. `sha256` is that of its lines, for the manifest; `later_turns` counts turns that are not asked."""

    name: str
    sha256: str
    items: tuple[Item, ...]
    later_turns: int = 0


@dataclass(frozen=True, slots=True)
class Hosted:
    """A set on the hub. `file` None: its authors publish it elsewhere, `where` says so."""

    repo: str
    file: str | None
    where: str


OWN = ("builtin", "copying", "languages")
"""Ours, in prompts/: six groups with checkable answers; edits of a given text, which prompt lookup is for; and six
languages that a small English drafter does not know."""
HOSTED = {
    "gsm8k": Hosted(
        "openai/gsm8k",
        "main/test-00000-of-00001.parquet",
        "grade_school_math/data/test.jsonl of github.com/openai/grade-school-math",
    ),
    "humaneval": Hosted(
        "openai/openai_humaneval",
        "openai_humaneval/test-00000-of-00001.parquet",
        "data/HumanEval.jsonl.gz of github.com/openai/human-eval",
    ),
    "spec-bench": Hosted("", None, "data/spec_bench/question.jsonl of github.com/hemingkx/Spec-Bench"),
}


def load_suite(name: str, raw: bool = False) -> Suite:
    """A suite by name, or a file. `raw`: prompts go to the model without a chat template. Raises UsageError,
    IntegrityError (with the line), Unavailable (offline, or a set that is not on the hub)."""
    path = Path(name).expanduser()
    if name in OWN and not path.is_file():
        data = importlib.resources.files(__package__).joinpath(f"prompts/{name}.jsonl").read_bytes()
        return parse(name, data, raw)
    if name in HOSTED and not path.is_file():
        return parse(name, download(name), raw)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        known = ", ".join((*OWN, *HOSTED))
        raise UsageError(
            f"cannot read the prompts {name}: {error.strerror}", f"give a JSON-lines file, or one of: {known}"
        ) from None
    if data.startswith(GZIP):
        data = unpacked(path.name, data)
    if len(data) > MAX_BYTES:
        raise UsageError(f"{name} is larger than {MAX_BYTES >> 20} MiB: no prompt set", "split it")
    return parse(path.name, data, raw)


def unpacked(name: str, data: bytes) -> bytes:
    """A gzipped file, as far as MAX_BYTES + 1. Raises IntegrityError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise IntegrityError(f"{name} is no whole gzip file: {error}", "get it again") from None


def parse(name: str, data: bytes, raw: bool = False) -> Suite:
    """The prompts of a JSON-lines file. Raises IntegrityError with the line that is none."""
    items: list[Item] = []
    later = 0
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            item = read_item(entry, f"{number}", raw)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            what = f"{type(error).__name__}: {str(error)[:80]}"
            raise IntegrityError(f"{name}, line {number} is no prompt ({what})", FORMAT) from None
        items.append(item)
        later += max(0, len(entry.get("turns") or ()) - 1)
    if not items:
        raise UsageError(f"{name} holds no prompt", FORMAT)
    return Suite(name, hashlib.sha256(data).hexdigest(), tuple(unique(items)), later)


def read_item(entry: Mapping[str, Any], number: str, raw: bool) -> Item:
    """One line, in any of the formats."""
    identity = next((entry[key] for key in ("id", "task_id", "question_id", "prompt_id") if key in entry), number)
    prompt = entry.get("prompt") or entry.get("question") or entry["turns"][0]
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("the prompt is empty or no text")
    reference, answer, test = entry.get("reference"), entry.get("answer"), entry.get("test") or ""
    if isinstance(reference, list):  # one a turn
        reference = reference[0] if reference and isinstance(reference[0], str) else ""
    entry_point = str(entry.get("entry_point") or "")
    code = ""
    begun = f"def {entry_point}" in prompt and "```" not in prompt
    if test and "prompt" in entry and begun:  # HumanEval: the prompt is a program's beginning
        code = prompt
        if not raw:
            prompt = ASK.format(prompt.strip())
    answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
    scorer = str(entry.get("scorer") or "")
    if scorer not in ("", "numeric", "match", "bleu", "rouge"):
        raise ValueError(f"unknown scorer {scorer!r}")
    if (scorer in ("numeric", "match") and not answers) or (scorer in ("bleu", "rouge") and not reference):
        raise ValueError(f"{scorer} has nothing to compare with")
    return Item(
        id=str(identity),
        group=str(entry.get("group") or entry.get("category") or "all"),
        prompt=prompt,
        answer=tuple(str(each) for each in answers),
        reference=str(reference or ""),
        test=str(test),
        entry_point=entry_point,
        code=code,
        scorer=scorer,
    )


def unique(items: list[Item]) -> Iterator[Item]:
    """The items with ids that tell them apart: a sample names its prompt by it."""
    seen: set[str] = set()
    for item in items:
        name, again = item.id, 2
        while name in seen:
            name, again = f"{item.id} ({again})", again + 1
        seen.add(name)
        yield item if name == item.id else replace(item, id=name)


def spread(items: tuple[Item, ...], limit: int | None) -> tuple[Item, ...]:
    """The first `limit` prompts, taken from the groups in turn, so that a small run sees every group."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    turns = [item for i in range(len(items)) for group in groups.values() for item in group[i : i + 1]]
    return tuple(turns[:limit])


def download(name: str) -> bytes:
    """A hosted set as JSON lines, through the hub's client and its cache. Raises every error of `told`."""
    hosted = HOSTED[name]
    hint = f"or get {hosted.where}, and give the file"
    if hosted.file is None:
        raise Unavailable(f"{name} is not on the hub", hint.removeprefix("or "))
    from ..files.network import require_network
    from ..files.source import Source

    try:
        require_network()
        from huggingface_hub import hf_hub_download

        from ..files.hub import told

        with told(Source(hf=hosted.repo)):
            path = hf_hub_download(hosted.repo, hosted.file, repo_type="dataset")
    except SpeccasError as error:
        raise type(error)(f"{name}: {error.message}", f"{error.hint or 'go online'}, {hint}") from None
    return json_lines(read_parquet(path, hint))


def read_parquet(path: str, hint: str) -> list[dict[str, Any]]:
    try:
        from pyarrow.parquet import read_table
    except ImportError:
        raise NotInstalled("the hub has this set as Parquet", extra="suites", other=hint) from None
    rows: list[dict[str, Any]] = read_table(path).to_pylist()
    return rows


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
