"""The settings of a command: flag, environment, config file, what tune found, profile, default, in that order.

Each setting stands here once: its default, its check, its flag and help, and whether it may change in a chat.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from speccas.core.errors import UsageError
from speccas.core.nearest import did_you_mean

from .checks import (
    amount,
    context,
    draft_length,
    drafters,
    one_of,
    real,
    rules,
    said,
    text,
    texts,
    truth,
    whole,
    workers,
)


@dataclass(frozen=True, slots=True)
class Flag:
    """How a setting is typed. `names` besides the long one; `many`: repeatable; `switch`: takes no value. `told`:
    defaults in words, where the value does not say it. `values`: what can be typed, by the names of values.py."""

    help: str
    metavar: str = "N"
    names: tuple[str, ...] = ()
    many: bool = False
    switch: bool = False
    told: Mapping[Any, str] = field(default_factory=dict)
    values: str = ""


def setting(
    default: Any, check: Callable[[str, Any], Any], flag: Flag | None = None, *, null: bool = False, chat: bool = False
) -> Any:
    """A field of Settings. `flag` None: commands have a flag of their own. `null` means something: no limit, or as it
    fits. `chat`: it may change while one chats."""
    return field(default=default, metadata={"check": check, "flag": flag, "null": null, "chat": chat})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every common setting, checked. Names are the long flags with underscores."""

    pair: str = setting("tiny", text, Flag("A pair by name.", "NAME", values="pairs"))
    drafter: tuple[str, ...] = setting(
        (),
        drafters,
        Flag(
            "The drafter: a GGUF file, hf:owner/repo[:QUANT], or head: the one in the expert's file. Twice, smallest "
            "first: the first one drafts for the second, which drafts for the expert.",
            "FILE",
            many=True,
            values="drafters",
        ),
    )
    expert: str = setting("", text, Flag("The expert: a GGUF file or hf:owner/repo[:QUANT].", "FILE", values="models"))
    expert_rpc: str = setting(
        "",
        workers,
        Flag(
            "The expert's layers go to the workers that listen there (speccas worker); its file and the drafter stay "
            "here.",
            "HOST:PORT[,HOST:PORT]",
        ),
    )
    expert_rpc_output: str = setting(
        "there",
        one_of("there", "here"),
        Flag(
            "Of an expert on workers: where its output layer is. Here, a call sends back a few kilobytes a token and "
            "not 4 bytes for each word of the vocabulary: for slow lines.",
            "WHERE",
        ),
    )
    expert_url: str = setting(
        "",
        text,
        Flag(
            "The expert, run by a server at this address: --drafter is a model here with the very same vocabulary. "
            "Above temperature 0 a rule's list of approved tokens is of those that the server sends.",
            "URL",
        ),
    )
    expert_api: str = setting(
        "",
        one_of("sglang", "vllm"),
        Flag("Of which kind that server is: sglang or vllm. SPECCAS_EXPERT_KEY holds its key.", "KIND"),
    )
    rule: tuple[str, ...] = setting(("exact",), rules)
    draft_tokens: int | str = setting(
        4,
        draft_length,
        Flag("Most tokens drafted a round, 1 to 16, or auto: as many as pay.", names=("-k",)),
        chat=True,
    )
    chain_rule: str = setting(
        "exact",
        text,
        Flag("Of two drafters: by which rule the second keeps what the first drafts.", "RULE", values="rules"),
    )
    chain_k: int = setting(4, whole(1, 16), Flag("Of two drafters: most tokens that the first one drafts ahead."))
    lookup: str = setting(
        "auto",
        one_of("auto", "on", "off"),
        Flag(
            "Drafts from the text itself, where the last tokens stood before: auto (with -k auto, where it pays), "
            "on or off.",
            "WHEN",
        ),
        chat=True,
    )
    max_tokens: int | None = setting(
        256,
        whole(1),
        Flag("Most tokens of an answer.", names=("-n",), told={None: "until its end"}),
        null=True,
        chat=True,
    )
    temperature: float = setting(0.0, real(0, 100), Flag("0 is greedy, 1 the model's own chances.", "X"), chat=True)
    top_k: int = setting(0, whole(0), Flag("Sample among the N most likely tokens.", told={0: "off"}), chat=True)
    top_p: float = setting(
        1.0,
        real(0, 1, open_low=True),
        Flag("Sample within this share of the probability.", "X", told={1.0: "off"}),
        chat=True,
    )
    min_p: float = setting(
        0.0, real(0, 1), Flag("Drop tokens below this share of the best one.", "X", told={0.0: "off"}), chat=True
    )
    repeat_penalty: float = setting(
        1.0,
        real(0.01, 100),
        Flag(
            "Hold back tokens that stand among the last ones: a logit above 0 is divided by this, any other "
            "multiplied. Of both models, before anything else.",
            "X",
            told={1.0: "off"},
        ),
        chat=True,
    )
    repeat_last_n: int = setting(
        64,
        whole(-1),
        Flag("How many last tokens --repeat-penalty looks at, the prompt's too; 0 is off, -1 all."),
        chat=True,
    )
    seed: int = setting(
        0,
        whole(0),
        Flag(
            "Same seed, same text, above temperature 0: of exact whatever is drafted, of other rules, or with --test "
            "token or block, with the same fixed -k and --lookup."
        ),
        chat=True,
    )
    test: str = setting(
        "coupled",
        one_of("coupled", "token", "block"),
        Flag(
            "How chance decides above temperature 0: coupled (drafter and expert share the seed's noise), token (the "
            "optimal test, token by token: accepts a little more) or block (that of the whole draft: again a little "
            "more).",
            "HOW",
        ),
        chat=True,
    )
    budget: float | None = setting(
        None,
        amount,
        Flag(
            "The most that a rule may give away in an answer, in nats: a token that exact would not have written costs "
            "0.7 if the expert's best one was twice as likely, 2.3 if ten times. 0 is exact.",
            "NATS",
            told={None: "no limit"},
        ),
        null=True,
        chat=True,
    )
    confidence_temperature: float = setting(
        1.0,
        real(0.05, 20),
        Flag(
            "Rules read the drafter's probabilities at this temperature, above 1 as less sure; `tune --calibrate` fits "
            "it. Drafts are drawn as ever.",
            "X",
            told={1.0: "as they are"},
        ),
        chat=True,
    )
    stop: tuple[str, ...] = setting(
        (), texts, Flag("End the answer before this text; repeatable.", "TEXT", many=True), chat=True
    )
    ignore_eos: bool = setting(False, truth, Flag("Go on behind the end of the answer.", switch=True), chat=True)
    system: str = setting("", said, Flag("A system message.", "TEXT"))
    raw: bool = setting(False, truth, Flag("No chat template: the model goes on with the text.", switch=True))
    think: str = setting(
        "auto",
        one_of("auto", "on", "off"),
        Flag("Whether the model thinks before it answers: on, off, or auto: as its chat template has it.", "WHEN"),
        chat=True,
    )
    ctx: int | None = setting(
        None,
        context,
        Flag("Context in tokens, or auto: the most that fits.", told={None: "as trained, at most 4096"}),
        null=True,
    )
    """0 (typed "auto") is the largest that fits this machine."""
    threads: int | None = setting(
        None, whole(1, 1024), Flag("Threads for both models.", told={None: "physical cores"}), null=True
    )
    gpu_layers: int = setting(-1, whole(-1, 10_000), Flag("The expert's layers on the GPU.", told={-1: "all"}))
    drafter_gpu_layers: int = setting(-1, whole(-1, 10_000), Flag("The drafter's layers on the GPU.", told={-1: "all"}))
    no_memory_check: bool = setting(
        False, truth, Flag("Load the pair even where it seems not to fit into memory.", switch=True)
    )
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each value that is not a default came from."""


KNOWN = {each.name: each.metadata for each in fields(Settings) if each.metadata}
CHECKS: dict[str, Callable[[str, Any], Any]] = {name: known["check"] for name, known in KNOWN.items()}
FLAGS: dict[str, Flag] = {name: known["flag"] for name, known in KNOWN.items() if known["flag"] is not None}
DEFAULTS = {each.name: each.default for each in fields(Settings) if each.metadata}
"""Where no place says otherwise, a command's own defaults included."""
IN_CHAT = tuple(name for name, known in KNOWN.items() if known["chat"])
"""Settings of sampling and length, which may change while one chats."""
SERVER = "server"
"""The source of a setting that was chosen for an expert on a server, where none was given."""
PLACES = {"tune": "what tune found", SERVER: "the choice for an expert on a server"}
"""Sources whose name alone does not say where a value stands."""


def resolve(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    config: Mapping[str, Any],
    tuned: Mapping[str, Any],
    profile: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Settings:
    """One value for every setting. `flags` hold only what was given, `tuned` what tune found for the pair. Raises
    UsageError that names the source."""
    layers: list[tuple[str, Mapping[str, Any]]] = [
        ("default", defaults),
        ("profile", profile),
        ("tune", tuned),
        ("config file", config),
        (
            "environment",
            {name: environment[key] for name in CHECKS if (key := f"SPECCAS_{name.upper()}") in environment},
        ),
        ("flag", {name: value for name, value in flags.items() if value not in (None, [], ())}),
    ]
    chosen: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, layer in layers:
        for name, value in layer.items():
            if name not in CHECKS:
                guess = did_you_mean(name, CHECKS)
                raise UsageError(f"unknown key {name!r} in the {source}", f"{guess}known keys: {', '.join(CHECKS)}")
            label = labelled(name, source)
            if value is None and not KNOWN[name]["null"]:
                raise UsageError(f"{label} has no value", "give one, or leave the key out")
            chosen[name] = value if value is None else CHECKS[name](label, value)
            sources[name] = source
    return Settings(**chosen, sources=sources)


def labelled(name: str, source: str) -> str:
    """A setting as messages name it: its flag, or its key and where that stands."""
    place = PLACES.get(source, f"the {source}")
    return "--" + name.replace("_", "-") if source == "flag" else f"{name} (from {place})"
