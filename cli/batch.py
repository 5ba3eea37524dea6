"""`speccas run --prompts FILE`: a file of prompts, and a line of JSON for each as soon as its answer ends."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speccas.core.errors import SpeccasError, Stopped, UsageError
from speccas.core.visible import json_line

from .prompt import read_file, read_text

if TYPE_CHECKING:
    from speccas.core.decoding.arms import Arm
    from speccas.core.record.metrics import Fold
    from speccas.core.runtime.pair import Pair

    from .play import Output
    from .settings import Settings

JSONL = (".jsonl", ".ndjson", ".json")
OURS = ("line", "seed", "arm", "error")
"""Fields of an answer's line, beside the prompt and what the file says of it."""


@dataclass(frozen=True, slots=True)
class BatchPrompt:
    """One prompt of a file, by its line from 1 on, with the fields beside it; or what is wrong with that line."""

    line: int
    prompt: str | None
    others: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


def read_prompts(path: Path, given: Sequence[object]) -> list[BatchPrompt]:
    """The prompts of a file: the lines of a text, or the `prompt` of each object of JSON lines; blank lines are none.
    `given`: what else was said that is to be a prompt. Raises UsageError for a file that cannot be read or holds
    none, and where there is another prompt, on stdin too."""
    if any(given):
        raise UsageError("--prompts gives the prompts", "leave the prompt and --file out")
    text = read_file(path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{path} holds no prompt", "write one on each line")
    if sys.stdin is not None and not sys.stdin.isatty() and read_text(sys.stdin).strip():
        raise UsageError("--prompts gives the prompts, and text is piped in beside it", "start it with < /dev/null")
    if path.suffix.lower() not in JSONL:
        return [BatchPrompt(number, line.removesuffix("\r")) for number, line in lines]
    return [from_json(number, line) for number, line in lines]


def from_json(number: int, line: str) -> BatchPrompt:
    """A line of JSON; what is wrong with it stands in `error`."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BatchPrompt(number, None, error=f"not JSON: {error}")
    if not isinstance(data, dict):
        return BatchPrompt(number, None, error="no object of JSON")
    others = {key: value for key, value in data.items() if key not in ("prompt", *OURS)}
    prompt = data.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        what = "it has no field 'prompt'" if "prompt" not in data else "its prompt is no text, or empty"
        return BatchPrompt(number, prompt if isinstance(prompt, str) else None, others, what)
    taken = [key for key in OURS if key in data]
    if taken:
        return BatchPrompt(number, prompt, others, f"its field {taken[0]!r} is one of the answer's: rename it")
    try:
        prompt.encode()
    except UnicodeError:
        return BatchPrompt(number, None, others, "its prompt holds half of a character (a lone surrogate)")
    return BatchPrompt(number, prompt, others)


def run_batch(settings: "Settings", prompts: Sequence[BatchPrompt], arm: "Arm", output: "Output") -> int:
    """Load the pair once and answer every prompt; the exit code. Raises UsageError for flags of one answer, and
    SpeccasError behind the last line where a prompt failed."""
    from .advice import say_seed, say_tuned
    from .notes import prompt_notes, say_notes
    from .play import opened
    from .view.theme import make_console

    for flag, given in {"--trace": output.trace, "--why": output.why}.items():
        if given is not None:
            raise UsageError(f"{flag} is of one answer, and --prompts gives many", "leave one of them out")
    aside = make_console(stderr=True)
    with opened(settings, [arm]) as pair:
        if not output.quiet:
            say_seed(aside, settings)
            say_tuned(aside, pair, settings)
            say_notes(aside, prompt_notes(pair, settings.system, settings.raw))
        done = answer_all(pair, settings, prompts, arm)
    if done.stopped:
        return 130
    if done.failed:
        raise SpeccasError(f"{done.failed} of {len(prompts)} prompts failed", "the field `error` says why")
    return 0


@dataclass(slots=True)
class BatchRun:
    """How far a file of prompts was answered."""

    done: int = 0
    failed: int = 0
    stopped: bool = False


def answer_all(pair: "Pair", settings: "Settings", prompts: Sequence[BatchPrompt], arm: "Arm") -> BatchRun:
    """Answer one prompt after another, and print each as it ends; one that fails is a line as well. Stops where Ctrl-C
    stops an answer: what was written of it is a line."""
    run = BatchRun()
    for each, fold, error in _answers(pair, settings, prompts, arm):
        if fold is None and error is None:
            run.stopped = True  # while the prompt was read
            break
        figures = None if fold is None else fold.figures().as_json()
        answer = {"line": each.line, "seed": settings.seed, "arm": figures, "error": error}
        print(json_line({"prompt": each.prompt, **each.others, **answer}), flush=True)
        run.done += 1
        run.failed += error is not None
        run.stopped = error is None and figures is not None and figures["finish"] == "interrupted"
        if run.stopped:
            break
    return run


def _answers(
    pair: "Pair", settings: "Settings", prompts: Sequence[BatchPrompt], arm: "Arm"
) -> Iterator[tuple[BatchPrompt, "Fold | None", str | None]]:
    """Each prompt with its answer, or with what went wrong; with neither where it was stopped before it began."""
    from speccas.core.calibration.planner import Planner, curves_file

    from .play import asked_of, interrupted, play_arm, read, with_log_prob

    planner = Planner(pair, curves_file())
    for each in prompts:
        if each.error is not None or each.prompt is None:
            yield each, None, each.error
            continue
        try:
            asked = asked_of(pair, settings, each.prompt, False)
            drafter = planner.drafting(asked.wanted).reads_prompt(pair, arm, asked.sampling)
            fold = play_arm(pair, planner, arm, asked, [], read(pair, asked.prompt, drafter))
            planner.save()
            lost = None if fold.lost is None else fold.lost.message
            yield each, fold if interrupted(fold) else with_log_prob(pair, fold, asked), lost
        except Stopped:
            yield each, None, None
        except SpeccasError as error:
            yield each, None, error.message
