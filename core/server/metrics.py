"""Figures of the server for Prometheus, out of what became of its requests."""

from collections import deque
from collections.abc import Iterable
from statistics import geometric_mean

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from .handled import Handled
from .line import Line

LATELY = 32  # answers that acceptance and speed-up are told of
OTHER = "other"
"""The path of all that has no series of its own, so that a stranger cannot make them without end."""
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """A registry of its own, so that two servers in one process do not meet."""

    def __init__(self, line: Line, paths: Iterable[str]) -> None:
        """`paths`: those that are counted each on its own."""
        self._paths = frozenset(paths)
        own = self._registry = CollectorRegistry()
        self._requests = Counter("speccas_requests", "Requests that are over.", ["path", "status"], registry=own)
        self._tokens = Counter("speccas_tokens", "Tokens written, by where they came from.", ["status"], registry=own)
        self._prompt = Counter("speccas_prompt_tokens", "Tokens of prompts.", ["from"], registry=own)
        self._first = Histogram(
            "speccas_time_to_first_token_seconds", "From the request to its first token.", buckets=SECONDS, registry=own
        )
        self._waited = Histogram(
            "speccas_waited_seconds", "From the request to its turn.", buckets=SECONDS, registry=own
        )
        waiting = Gauge("speccas_requests_waiting", "Requests in the queue.", registry=own)
        waiting.set_function(lambda: len(line.waiting))
        running = Gauge("speccas_requests_running", "Requests that are being answered.", registry=own)
        running.set_function(lambda: float(line.current is not None))
        self._accepted: deque[tuple[int, int]] = deque(maxlen=LATELY)
        self._speedups: deque[float] = deque(maxlen=LATELY)
        acceptance = Gauge(
            "speccas_acceptance", f"Share of the judged tokens that were accepted, last {LATELY} answers.", registry=own
        )
        acceptance.set_function(self._acceptance)
        speedup = Gauge(
            "speccas_speedup",
            f"Tokens/s over those of the expert alone, last {LATELY} answers: their geometric mean.",
            registry=own,
        )
        speedup.set_function(self._speedup)

    def note(self, handled: Handled) -> None:
        path = handled.path if handled.path in self._paths else OTHER
        self._requests.labels(path, str(handled.status)).inc()
        if handled.waited is not None:
            self._waited.observe(handled.waited)
        if handled.first is not None:
            self._first.observe(handled.first)
        if handled.begun is not None:
            self._prompt.labels("cache").inc(handled.begun.cached)
            self._prompt.labels("read").inc(handled.begun.prompt_tokens - handled.begun.cached)
        for token in handled.fold.tokens:
            self._tokens.labels(str(token.status)).inc()
        figures = handled.figures
        if figures is None:
            return
        if figures.judged:
            self._accepted.append(((figures.agreed or 0) + (figures.kept or 0), figures.judged))
        if handled.alone and figures.tokens_per_second:
            self._speedups.append(figures.tokens_per_second / handled.alone)

    def _acceptance(self) -> float:
        accepted, judged = (sum(each) for each in zip(*self._accepted, strict=True)) if self._accepted else (0, 0)
        return accepted / judged if judged else float("nan")

    def _speedup(self) -> float:
        return geometric_mean(self._speedups) if self._speedups else float("nan")

    def page(self) -> bytes:
        """All of it in Prometheus's text format."""
        return bytes(generate_latest(self._registry))
