"""What a user can do about an error of core, where that takes a flag or a command: core tells facts."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from speccas.core import errors
from speccas.core.errors import SpeccasError

Facts = Mapping[str, Any]
HINTS: dict[type[SpeccasError], str | Callable[[Facts], str]] = {
    errors.BlockRefused: "use --test token (in a chat /set test token), or another rule",
    errors.BudgetRefused: "leave out --budget, or take one drafter, a rule and --test coupled or token",
    errors.ContextFull: "use a larger --ctx",
    errors.DiskFull: "free some space (speccas rm), or point HF_HOME at a larger disk",
    errors.DoesNotFit: lambda facts: does_not_fit(facts.get("context")),
    errors.NameTaken: "give another name: --save-as NAME",
    errors.NoDial: lambda facts: f"write --rule {facts['rule']}",
    errors.NotASession: "give a file written by /save",
    errors.NotInstalled: lambda facts: install_hint(facts),
    errors.NotATrace: "give a file written by --trace",
    errors.NotPulled: lambda facts: f"speccas pull {facts['pull']}",
    errors.RequestRefused: lambda facts: f"start it with --{facts['setup']}" if "setup" in facts else "",
    errors.ServerRefuses: lambda facts: (
        "take another rule, or above temperature 0 --test token with --temperature 1 and no filter, "
        f"or with --top-k {facts['sent']} or less"
    ),
    errors.PromptTooLong: "use a larger --ctx, or a shorter prompt",
    errors.TemplateBroken: "try --raw",
    errors.TemplateRefused: "try --raw, or other messages",
    errors.NoRpc: lambda facts: rpc_hint(),
    errors.NoWorker: lambda facts: worker_hint(facts["address"]),
    errors.WorkerLost: lambda facts: "look at the worker, and start it again there",
    errors.NotSaid: "put it in the prompt itself, or write the prompt as the model reads it and use --raw",
    errors.NoThinking: "leave out --think, or set it to auto",
}
"""By error; the most special type counts. An error that has a hint of its own keeps it."""


ASKING = {"run": "speccas run", "compare": "speccas compare", "chat": "speccas chat -p"}
"""Commands that take a prompt, and what stands before it."""
EXTRA = re.compile(r"unexpected extra argument\S* \((.*)\)", re.DOTALL)
LONG = 40  # characters of a prompt that a hint repeats


def quotes_hint(message: str, context: Any) -> str:
    """What to do where a prompt was typed without its quotes; "" where the mistake is another one. `context`: Typer's,
    of the command."""
    found, name = EXTRA.search(message), getattr(context, "info_name", None)
    if found is None or name not in ASKING:
        return ""
    prompt = " ".join(filter(None, (context.params.get("prompt"), found[1])))
    shown = prompt if len(prompt) <= LONG and '"' not in prompt else f"{prompt[:LONG].partition(chr(34))[0].strip()}..."
    return f'put the prompt in quotes: {ASKING[name]} "{shown}"'


def install_hint(facts: Facts) -> str:
    """What installs a package that is missing, where this speccas is installed; and what else helps."""
    from .installed import extra_line, package_line

    line = extra_line(facts["extra"]) if "extra" in facts else package_line(facts["package"])
    return f"{line}, {facts['other']}" if facts.get("other") else line


def rpc_hint() -> str:
    """How to build llama.cpp with RPC: pip's cache of wheels does not know how a wheel was built."""
    from .installed import package_line

    flags = "--force-reinstall --no-cache-dir --no-binary llama-cpp-python "
    return f"CMAKE_ARGS=-DGGML_RPC=on {package_line('llama-cpp-python==0.3.36', flags)}"


def worker_hint(address: str) -> str:
    """How to start a worker where none listens."""
    host, _, port = address.rpartition(":")
    there = "start one" if host in ("127.0.0.1", "localhost") else f"start one on {host}, and open the tunnel to it"
    return f"{there}: speccas worker --port {port}"


def does_not_fit(context: int | None) -> str:
    """`context`: the largest that fits, 0 where none does; None where llama.cpp found out."""
    if context is None:
        return "use a smaller --ctx"
    fits = f"--ctx {context} is the largest that fits" if context else "close other programs, or take a smaller pair"
    return f"{fits}; --no-memory-check loads it all the same"


def hint_of(error: SpeccasError) -> str:
    """What to do about an error."""
    if isinstance(error, errors.UnknownRule):
        return f"{error.hint} `speccas rules` lists them".strip()
    if error.hint:
        return error.hint
    hint = next((HINTS[kind] for kind in type(error).__mro__ if kind in HINTS), "")
    return hint if isinstance(hint, str) else hint(error.facts)


@contextlib.contextmanager
def hinted(hints: Mapping[type[SpeccasError], str]) -> Iterator[None]:
    """Give the errors of these types their hint, unless they have one; the first type that fits counts."""
    try:
        yield
    except SpeccasError as error:
        if not error.hint:
            error.hint = next((hint for kind, hint in hints.items() if isinstance(error, kind)), "")
        raise
