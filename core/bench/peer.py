"""llama.cpp's own speculation, through the package xllamacpp, as arms of a bench.

Two models, or an expert and a head: a server for each k and one without a drafter, since llama.cpp takes the draft
length when it loads. Each may hold a copy of the weights of its own (8 GiB for two k and 1.6 GB of files, measured).
Its n-gram types need no drafter; some remember earlier answers, and would draft a repeat from the answer before it, so
each answer has a fresh server, loaded outside its time. Rounds are not seen, only their counts, so acceptance and gaps
stay empty.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from ..decoding.answer import Request
from ..errors import NativeError, NotInstalled, Stopped, UsageError
from ..headers.head_kind import HeadKind, kind_of
from ..record.metrics import Figures
from ..runtime.pair import Pair
from .protocol import Bench, PlannedArm, Played

NAME = "llama.cpp"
TWO_MODELS = "draft-simple"
HEADS = {HeadKind.EAGLE3: "EAGLE3", HeadKind.MTP: "MTP", HeadKind.ASSISTANT: "MTP"}
"""What it calls drafting with a head of that kind."""
NGRAMS = {
    "ngram-mod": ("n_match", "n_min", "n_max"),
    "ngram-map-k": ("size_n", "size_m", "min_hits"),
    "ngram-simple": ("size_n", "size_m", "min_hits"),
}
"""llama.cpp's types that draft from the text alone, and their numbers, which stay at its defaults."""


class PeerFailed(NativeError):
    """llama.cpp's own server did not load the pair, or did not answer."""


def load_library() -> Any:
    """The package. Raises NotInstalled."""
    try:
        import xllamacpp
    except ImportError:
        raise NotInstalled(f"{NAME} as a peer needs the package xllamacpp", extra="peer") from None
    return xllamacpp


def types_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Types of speculation in `llama.cpp` (two models) and `llama.cpp:ngram-mod,ngram-simple`. Raises UsageError."""
    found: list[str] = []
    for text in texts:
        name, colon, types = text.partition(":")
        if name != NAME:
            raise UsageError(f"there is no peer {text!r}")
        for each in (kind.strip() for kind in types.split(",")) if colon else (TWO_MODELS,):
            if each not in (TWO_MODELS, *NGRAMS):
                raise UsageError(f"{NAME} as a peer has no type {each!r}")
            found.append(each)
    return tuple(dict.fromkeys(found))


def peer_arms(types: Sequence[str], ks: Sequence[Any]) -> Iterator[PlannedArm]:
    """The peer's expert alone, its two models at each k that is a number, and its n-gram types, which take no k."""
    if types:
        yield PlannedArm(f"{NAME} expert", None)
    if TWO_MODELS in types:
        yield from (PlannedArm(NAME, None, k) for k in ks if isinstance(k, int))
    yield from (PlannedArm(f"{NAME} {each}", None) for each in types if each in NGRAMS)


def with_peer(run: Bench, facts: dict[str, Any]) -> None:
    """Give a bench the peer that its arms want, and say in the facts which build it is; without the arms that this
    pair does not allow."""
    peer = run.peer = LlamaCpp(run.pair, [each for each in run.plan.arms if each.arm is None])
    facts["peer"] = peer.about()
    prompt = next((prompt for _, prompt in run.prompts()), None)
    two_models = next((planned for planned in peer.servers if planned.k is not None), None)
    if prompt is None or two_models is None or peer.speculates(two_models, prompt.ids):
        return
    facts["notes"].append(f"{NAME} itself does not speculate with these two models: it wants one vocabulary for both")
    run.plan = replace(run.plan, arms=tuple(each for each in run.plan.arms if each.name != NAME))
    facts["arms"] = [name for name in facts["arms"] if not name.startswith(f"{NAME} k=")]
    peer.servers = {planned: server for planned, server in peer.servers.items() if planned.k is None}


class LlamaCpp:
    """The same two files in llama.cpp's server, in this process."""

    def __init__(self, pair: Pair, arms: Sequence[PlannedArm]) -> None:
        """Raises NotInstalled and PeerFailed."""
        self.library = load_library()
        self.pair = pair
        self.ngrams = {planned: kind for planned in arms if (kind := planned.name.partition(" ")[2]) in NGRAMS}
        self.servers = {planned: self._server(planned) for planned in arms if planned not in self.ngrams}

    def _server(self, planned: PlannedArm) -> Any:
        x, options = self.library, self.pair.options
        params = x.CommonParams()
        params.model.path = str(self.pair.files["expert"].path)
        params.n_ctx = self.pair.context
        params.n_parallel = 1
        params.verbosity = -1
        params.n_gpu_layers = options.gpu_layers
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads = self.pair.expert.threads
        if planned in self.ngrams:
            kind = self.ngrams[planned].replace("-", "_").upper()
            params.speculative.types = [getattr(x.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{kind}")]
        elif planned.k is not None:
            file = self.pair.files["drafter"]
            head = kind_of(file.header)
            kind = "SIMPLE" if head is None else HEADS[head]
            types = x.common_speculative_type
            params.speculative.types = [getattr(types, f"COMMON_SPECULATIVE_TYPE_DRAFT_{kind}")]
            draft = params.speculative.draft
            if not file.inside:
                draft.mparams.path = str(file.path)
            draft.n_max, draft.n_min, draft.p_min = planned.k, 0, 0.0
            draft.n_gpu_layers = options.drafter_gpu_layers
            for cpu in (draft.cpuparams, draft.cpuparams_batch):
                cpu.n_threads = self.pair.drafter.threads
        try:
            return x.Server(params)
        except Exception as error:  # the binding raises whatever llama.cpp's server threw
            raise PeerFailed(f"{NAME} cannot load this pair: {str(error)[:200]}") from None

    def about(self) -> dict[str, Any]:
        """For the manifest: another build of llama.cpp than ours, and the numbers of its n-gram types."""
        found = {"xllamacpp": str(self.library.__version__), "features": str(self.library.get_system_info()).strip()}
        defaults = self.library.CommonParams().speculative
        types = {
            kind: {name: int(getattr(getattr(defaults, kind.replace("-", "_")), name)) for name in NGRAMS[kind]}
            for kind in self.ngrams.values()
        }
        return {**found, "types": types} if types else found

    def speculates(self, planned: PlannedArm, ids: Sequence[int]) -> bool:
        """Whether it drafts at all with these two models: where vocabularies differ it does not, without a word."""
        body = {"prompt": list(ids), "n_predict": 16, "temperature": 0.0, "ignore_eos": True}
        return "draft_n" in self._ask(self.servers[planned], body)["timings"]

    def play(self, planned: PlannedArm, request: Request) -> Played:
        """One answer from a cold cache, stopped by nothing but what the request says."""
        s = request.sampling
        answer = self._ask(
            self._server(planned) if planned in self.ngrams else self.servers[planned],
            {
                "prompt": list(request.prompt),
                "n_predict": -1 if request.max_tokens is None else request.max_tokens,
                "temperature": s.temperature,
                "top_k": s.top_k,
                "top_p": s.top_p,
                "min_p": s.min_p,
                "repeat_penalty": s.penalty.repeat,
                "repeat_last_n": self.pair.context if s.penalty.last_n < 0 else s.penalty.last_n,
                "seed": s.seed,
                "stop": list(request.stop),
                "ignore_eos": request.ignore_eos,
                "cache_prompt": False,
                "return_tokens": True,
                "verbose": True,  # the only place where the tokens stand
            },
        )
        if self.pair.stop:
            raise Stopped("interrupted")
        detail, times = answer["__verbose"], answer["timings"]
        ids = tuple(int(token) for token in detail["tokens"])
        n = int(times["predicted_n"])
        # Its clock starts behind the first token, ours before it: the first is counted at the pace of the others.
        seconds = times["predicted_ms"] / 1e3 * (n / (n - 1) if n > 1 else 1)
        accepted = int(times.get("draft_n_accepted", 0))
        finish = {"eos": "end", "limit": "length", "word": "stop"}.get(detail["stop_type"], "context")
        known = {
            "name": planned.name,
            "text": answer["choices"][0]["text"],
            "finish": finish,
            "tokens": n,
            "seconds": seconds,
            "tokens_per_second": n / seconds if seconds else None,
            "ttft_ms": times["prompt_ms"] or None,
            "prefill_seconds": times["prompt_ms"] / 1e3,
            "drafted": times.get("draft_n"),
            "expert_calls": n - accepted,
            "tokens_per_expert_call": n / (n - accepted) if n > accepted else None,
        }
        return Played(Figures(**{**dict.fromkeys(each.name for each in fields(Figures)), **known}), ids)

    def _ask(self, server: Any, body: dict[str, Any]) -> dict[str, Any]:
        found = server.handle_completions(body)
        answer: dict[str, Any] = found if isinstance(found, dict) else json.loads(found)
        if "timings" not in answer:
            raise PeerFailed(f"{NAME} answered with an error: {str(answer)[:200]}")
        return answer
