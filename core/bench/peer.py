"""llama.cpp's own two-model speculation, through the package xllamacpp, as arms of a bench.

A server for each k and one without a drafter: llama.cpp takes the draft length when it loads. Each may hold a copy of
the weights of its own (8 GiB for two k and 1.6 GB of files, measured). Its rounds are not seen, only their counts, so
acceptance and gaps stay empty.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from ..decoding.answer import Request
from ..errors import NativeError, Stopped, Unavailable
from ..record.metrics import Figures
from ..runtime.pair import Pair
from .protocol import Bench, PlannedArm, Played

NAME = "llama.cpp"


class PeerFailed(NativeError):
    """llama.cpp's own server did not load the pair, or did not answer."""


def load_library() -> Any:
    """The package. Raises Unavailable."""
    try:
        import xllamacpp
    except ImportError:
        raise Unavailable(f"{NAME} as a peer needs the package xllamacpp", "pip install 'speccas[peer]'") from None
    return xllamacpp


def with_peer(run: Bench, ks: Sequence[Any], facts: dict[str, Any]) -> None:
    """Give a bench its peer, and say in the facts which build it is; without the arms that this pair does not allow."""
    peer = run.peer = LlamaCpp(run.pair, [k for k in ks if isinstance(k, int)])
    facts["peer"] = peer.version()
    prompt = next((prompt for _, prompt in run.prompts()), None)
    if prompt is not None and len(peer.servers) > 1 and not peer.speculates(prompt.ids):
        facts["notes"].append(f"{NAME} itself does not speculate with this pair: it wants one vocabulary for both")
        kept = tuple(each for each in run.plan.arms if each.arm is not None or each.k is None)
        run.plan = replace(run.plan, arms=kept)
        facts["arms"] = [name for name in facts["arms"] if not name.startswith(f"{NAME} k=")]


class LlamaCpp:
    """The same two files in llama.cpp's server, in this process."""

    def __init__(self, pair: Pair, ks: Sequence[int]) -> None:
        """Raises Unavailable and PeerFailed."""
        self.library = load_library()
        self.pair = pair
        self.servers = {str(k): self._server(k) for k in (None, *ks)}

    def _server(self, k: int | None) -> Any:
        x, options = self.library, self.pair.options
        params = x.CommonParams()
        params.model.path = str(self.pair.files["expert"].path)
        params.n_ctx = self.pair.context
        params.n_parallel = 1
        params.verbosity = -1
        params.n_gpu_layers = options.gpu_layers
        for cpu in (params.cpuparams, params.cpuparams_batch):
            cpu.n_threads = self.pair.expert.threads
        if k is not None:
            params.speculative.types = [x.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
            draft = params.speculative.draft
            draft.mparams.path = str(self.pair.files["drafter"].path)
            draft.n_max, draft.n_min, draft.p_min = k, 0, 0.0
            draft.n_gpu_layers = options.drafter_gpu_layers
            for cpu in (draft.cpuparams, draft.cpuparams_batch):
                cpu.n_threads = self.pair.drafter.threads
        try:
            return x.Server(params)
        except Exception as error:  # the binding raises whatever llama.cpp's server threw
            raise PeerFailed(f"{NAME} cannot load this pair: {str(error)[:200]}") from None

    def version(self) -> dict[str, str]:
        """For the manifest: another build of llama.cpp than ours."""
        return {"xllamacpp": str(self.library.__version__), "features": str(self.library.get_system_info()).strip()}

    def speculates(self, ids: Sequence[int]) -> bool:
        """Whether it drafts at all with this pair: where vocabularies differ it does not, without a word."""
        server = next(server for k, server in self.servers.items() if k != "None")
        answer = self._ask(server, {"prompt": list(ids), "n_predict": 16, "temperature": 0.0, "ignore_eos": True})
        return "draft_n" in answer["timings"]

    def play(self, planned: PlannedArm, request: Request) -> Played:
        """One answer from a cold cache, stopped by nothing but what the request says."""
        s = request.sampling
        answer = self._ask(
            self.servers[str(planned.k)],
            {
                "prompt": list(request.prompt),
                "n_predict": -1 if request.max_tokens is None else request.max_tokens,
                "temperature": s.temperature,
                "top_k": s.top_k,
                "top_p": s.top_p,
                "min_p": s.min_p,
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
