"""What `compare`, `run` and `chat` share: open a pair, read a prompt, play an arm to sinks. Knows both sides, shows
nothing itself but waiting."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence

from speccas.core.bench.overlap import LEAST_MASS
from speccas.core.calibration.calibrate import Planner
from speccas.core.conversation.template import Message
from speccas.core.decoding.answer import Request
from speccas.core.decoding.arms import Arm
from speccas.core.decoding.events import Event, Finish
from speccas.core.decoding.sampling import Sampling
from speccas.core.record.log_prob import mean_log_prob
from speccas.core.record.metrics import Fold
from speccas.core.runtime.llama import StopFlag
from speccas.core.runtime.pair import LoadedPair, chosen_pair
from speccas.core.settings import Settings

from .interrupt import interruptible
from .view.progress import Waiting
from .view.theme import make_console

Sink = Callable[[Event], None]


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[LoadedPair]:
    """A loaded pair that Ctrl-C can stop at any time."""
    stop = StopFlag()
    with interruptible(stop), load(settings, stop) as pair:
        yield pair
        warn_of_overlap(pair)


def warn_of_overlap(pair: LoadedPair) -> None:
    """Say on stderr that the drafter hardly ever said what the expert could: no header tells that."""
    mass = pair.drafter.mean_mass
    if mass is not None and mass < LEAST_MASS:
        told = f"note: only {mass:.0%} of the drafter's probability was on tokens of the expert"
        hint = "; `speccas check --measure` tells how well the two go together"
        make_console(stderr=True).print(told + hint, style="yellow", soft_wrap=True, highlight=False, markup=False)


def load(settings: Settings, stop: StopFlag) -> LoadedPair:
    """Load the chosen pair, with a bar when it takes long."""
    with Waiting(make_console(stderr=True)) as waiting:
        return LoadedPair(
            chosen_pair(settings), settings, stop, lambda role, share: waiting.tell(f"loading {role}", share)
        )


def messages(settings: Settings, prompt: str) -> list[Message]:
    return [*([Message("system", settings.system)] if settings.system else []), Message("user", prompt)]


def read_prompt_ids(pair: LoadedPair, ids: Sequence[int], drafter: bool = True) -> None:
    """Prefill both models, with a bar when it takes long. `drafter` as in `LoadedPair.prefill`."""
    with Waiting(make_console(stderr=True)) as waiting:
        for step in pair.prefill(ids, drafter):
            waiting.tell(f"reading the prompt ({step.role})", step.done / max(1, step.total))


def request(pair: LoadedPair, ids: Sequence[int], detail: bool = False) -> Request:
    s = pair.settings
    sampling = Sampling(s.temperature, s.top_k, s.top_p, s.min_p, s.seed)
    return Request(tuple(ids), sampling, s.max_tokens, pair.context, s.stop, s.ignore_eos, detail)


def play_arm(pair: LoadedPair, planner: Planner, arm: Arm, asked: Request, sinks: Sequence[Sink]) -> Fold:
    """Run one arm to the end, or to where it is stopped. The fold has its figures."""
    rewind(pair, asked, planner.reads(arm))
    seconds = pair.prefill_seconds
    fold = Fold(prefill_seconds=sum(seconds[role] for role in arm.models))
    events = pair.play(arm, asked, planner.drafting(arm))
    with contextlib.closing(events):
        for event in events:
            fold(event)
            for sink in sinks:
                sink(event)
    return fold


def rewind(pair: LoadedPair, asked: Request, drafter: bool) -> None:
    """Both caches back to the prompt, where the arm before left them behind it. What its reading cost stays known."""
    seconds = pair.prefill_seconds
    for _ in pair.prefill(asked.prompt, drafter):
        pass
    pair.prefill_seconds = seconds


def with_log_prob(pair: LoadedPair, fold: Fold, asked: Request) -> Fold:
    """Let the expert score an answer that it did not judge while it was written. Takes its cache back to the prompt."""
    if any(token.log_p is None for token in fold.tokens):
        fold.scored = mean_log_prob(pair.expert, asked.prompt, [token.id for token in fold.tokens])
    return fold


def interrupted(fold: Fold) -> bool:
    """Whether an arm was stopped rather than ended."""
    return fold.finished is not None and fold.finished.finish is Finish.INTERRUPTED


def command_line() -> str:
    return shlex.join(["speccas", *sys.argv[1:]])
