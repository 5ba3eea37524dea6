"""Writes docs/schema/*.schema.json: JSON Schemas of all documents, made from the dataclasses that are printed.

Schemas are open: other keys may stand beside those that are named. Run `make docs` after changing a document.
"""

import json
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from speccas.core.bench.comparison import Change
from speccas.core.bench.overlap import Overlap
from speccas.core.bench.report import Report
from speccas.core.bench.samples import Sample
from speccas.core.calibration.dear import DearCall
from speccas.core.conversation.transcript import Conversation
from speccas.core.decoding.events import Finish, Status
from speccas.core.distill.card import DistillDocument
from speccas.core.headers.check import Difference, PairCheck
from speccas.core.inventory.check import CheckedFile, WorkerRoom
from speccas.core.inventory.details import MadeDetails, MemoryDetails, ModelDetails
from speccas.core.inventory.doctor import BuildFacts, CacheFacts, MachineFacts, WorkerReport
from speccas.core.inventory.pairs import PairList
from speccas.core.optimize.confirm import ConfirmedSpeed
from speccas.core.optimize.outcome import OptimizeDocument
from speccas.core.record.manifest import Manifest, RunDocument
from speccas.core.record.metrics import Figures
from speccas.core.tune.document import TuneDocument

FOLDER = Path(__file__).parent.parent / "docs/schema"
Schema = dict[str, Any]
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
MODES = ["on", "off", "mixed"]

STRING, NUMBER, INTEGER, BOOLEAN = ({"type": PLAIN[kind]} for kind in (str, float, int, bool))


def schema_of(kind: Any) -> Schema:
    """The schema of a Python type, dataclasses as objects whose keys are all required."""
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return one_of(kind)
    if is_dataclass(kind):
        return dataclass_of(kind)
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if origin in (Union, types.UnionType):
        return either(*map(schema_of, arguments))
    if origin in (list, tuple, Sequence):
        return array(schema_of(arguments[0])) if arguments else {"type": "array"}
    if origin in (dict, Mapping):
        return table(schema_of(arguments[1])) if arguments else {"type": "object"}
    assert kind is Any, kind
    return {}


def dataclass_of(kind: Any, leave_out: Sequence[str] = (), **others: Schema) -> Schema:
    """An object with a class's fields but those in `leave_out`; `others` replace fields or come on top."""
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind) if each.name not in leave_out]
    return thing(**{**{name: schema_of(hints[name]) for name in names if name not in others}, **others})


def thing(optional: Sequence[str] = (), **keys: Schema) -> Schema:
    """An object with these keys, all required but those named as optional."""
    return {"type": "object", "properties": keys, "required": sorted(set(keys) - set(optional))}


def array(each: Schema) -> Schema:
    return {"type": "array", "items": each}


def table(value: Schema) -> Schema:
    """An object with any keys."""
    return {"type": "object", "additionalProperties": value}


def either(*kinds: Schema) -> Schema:
    if all(set(kind) == {"type"} for kind in kinds):
        return {"type": [kind["type"] for kind in kinds]}
    return {"anyOf": list(kinds)}


def nullable(kind: Schema) -> Schema:
    return either(kind, {"type": "null"})


def one_of(names: Sequence[str] | type[StrEnum]) -> Schema:
    return {"enum": [str(name) for name in names]}


FIRST = {"schema": {"const": 1}}
FIGURES = dataclass_of(Figures, finish=one_of(Finish), mode=one_of(MODES))
BENCH_MANIFEST = dataclass_of(Manifest, bench={"type": "object"})
K = {"type": ["integer", "string", "null"]}

CURVE = {
    "seconds": table(NUMBER),
    "relative": table(NUMBER),
    "drafter_step": NUMBER,
    "ceiling": thing(times=NUMBER, rows=INTEGER, bad=BOOLEAN),
    "needed": table(nullable(NUMBER)),
    "spread": NUMBER,
    "dear": nullable(schema_of(DearCall)),
}
QUANTISED = thing(file=STRING, quant=STRING)
PAYOFF = thing(
    acceptance=NUMBER, k=INTEGER, speedup=NUMBER, tokens_per_second=NUMBER,
    round_trip_bound_seconds=nullable(NUMBER), pays=BOOLEAN,
)  # fmt: skip
ELSEWHERE = thing(
    round_trip_seconds=NUMBER, trip_each_token=BOOLEAN, token_seconds=NUMBER, alone_seconds=NUMBER,
    drafter_step=NUMBER, calls=table(NUMBER), pays_from=nullable(NUMBER), rows=array(PAYOFF), known=nullable(PAYOFF),
    verdict=STRING,
)  # fmt: skip
DOCTOR_CURVE = thing(
    pair=STRING, threads=INTEGER, threads_tried=table(NUMBER), drafter=QUANTISED, expert=QUANTISED, **CURVE
)

SIDE = nullable(thing(text=STRING, bytes=STRING))
CHECK = dataclass_of(
    PairCheck,
    tokens=array(thing(id=INTEGER, drafter=SIDE, expert=SIDE)),
    tokenizer=array(schema_of(Difference)),
    template=array(schema_of(Difference)),
    works=BOOLEAN,
)["properties"]

ESTIMATE = thing(value=nullable(NUMBER), low=nullable(NUMBER), high=nullable(NUMBER), n=INTEGER)
STANDING = {
    "rule": STRING,
    "draft_tokens": {"type": ["integer", "string"]},
    "prompts": INTEGER,
    "speedup": ESTIMATE,
    "answer_speedup": ESTIMATE,
    "loss_by_log_prob": ESTIMATE,
    "loss_by_score": ESTIMATE,
    "acceptance": nullable(NUMBER),
}

PROBABILITY = nullable(NUMBER)
PIECE = {"id": INTEGER, "bytes": STRING, "text": STRING}
OPINION = thing(name=STRING, left=NUMBER, sense=STRING, right=NUMBER, keeps=BOOLEAN)
TOKEN = thing(
    **PIECE,
    status=one_of(Status),
    q=PROBABILITY,
    p=PROBABILITY,
    log_p=PROBABILITY,
    gap=nullable(NUMBER),
    charged=nullable(NUMBER),
    level=nullable(INTEGER),
    expert_top={"type": "array", "items": {"type": "array", "minItems": 3, "maxItems": 3}},
    rule=nullable(OPINION),
    others=array(OPINION),
    turned_down=nullable(thing(**PIECE, q=PROBABILITY, p=PROBABILITY)),
)
STARTED = thing(
    type={"const": "started"},
    arm=STRING,
    **FIRST,
    manifest={"type": "object"},
    prompt=STRING,
    rule=nullable(STRING),
    alpha=nullable(NUMBER),
    k=K,
    prompt_tokens=INTEGER,
    budget=nullable(NUMBER),
)
ROUND = thing(
    type={"const": "round"},
    arm=STRING,
    round=INTEGER,
    at=INTEGER,
    k=K,
    mode=one_of(MODES),
    source=STRING,
    t_ms=NUMBER,
    draft_ms=NUMBER,
    verify_ms=NUMBER,
    drafted=INTEGER,
    expert_calls=INTEGER,
    tokens=array(TOKEN),
    discarded=array(thing(**PIECE)),
)
FINISHED = thing(type={"const": "finished"}, arm=STRING, **FIGURES["properties"], tail=STRING)

DOCUMENTS: dict[str, tuple[str, Schema]] = {
    "run": ("run --json and compare --json", dataclass_of(RunDocument, **FIRST, arms=array(FIGURES))),
    "list": ("list --json", dataclass_of(PairList, **FIRST)),
    "show": (
        "show --json",
        thing(
            ("title", "licence", "gated", "untried", "origin"),
            **FIRST,
            name=STRING,
            models=table(schema_of(ModelDetails)),
            vocabulary=nullable(thing(**CHECK)),
            first_vocabulary=nullable(thing(**CHECK)),
            memory=nullable(schema_of(MemoryDetails)),
            optimized=nullable(schema_of(MadeDetails)),
            title=STRING,
            licence=STRING,
            gated=BOOLEAN,
            untried=BOOLEAN,
            origin=STRING,
        ),
    ),
    "check": (
        "check --json",
        thing(
            **FIRST,
            drafter=schema_of(CheckedFile),
            expert=schema_of(CheckedFile),
            **CHECK,
            measured=nullable(dataclass_of(Overlap, verdict=STRING)),
            dear=nullable(schema_of(DearCall)),
            workers=nullable(dataclass_of(WorkerRoom, fits=BOOLEAN)),
        ),
    ),
    "doctor": (
        "doctor --json",
        thing(
            **FIRST,
            versions=table(nullable(STRING)),
            machine=schema_of(MachineFacts),
            llama_cpp={"anyOf": [schema_of(BuildFacts), thing(loads={"const": False})]},
            cache=schema_of(CacheFacts),
            wrong=array(thing(what=STRING, hint=STRING)),
            curve=nullable(DOCTOR_CURVE),
            workers=array(schema_of(WorkerReport)),
            elsewhere=nullable(ELSEWHERE),
        ),
    ),
    "bench": (
        "bench --json, and report.json of its directory",
        dataclass_of(Report, **FIRST, manifest=BENCH_MANIFEST, formulas=array(STRING)),
    ),
    "bench-compare": (
        "bench --compare A B --json",
        thing(**FIRST, differences=array(STRING), arms=array(schema_of(Change))),
    ),
    "tune": (
        "tune --json, and pairs/NAME.tuned.json",
        dataclass_of(
            TuneDocument,
            **FIRST,
            manifest=BENCH_MANIFEST,
            curve=thing(**CURVE),
            searched=array(thing(**STANDING, out=nullable(STRING))),
            finalists=array(thing(**STANDING, faster=BOOLEAN, within_floor=BOOLEAN, why=nullable(STRING))),
        ),
    ),
    "optimize": (
        "optimize --json, and card.json beside made files",
        dataclass_of(OptimizeDocument, **FIRST, confirmed=nullable(schema_of(ConfirmedSpeed))),
    ),
    "distill": ("distill --json", dataclass_of(DistillDocument, **FIRST)),
    "trace": ("a line of a trace", {"oneOf": [STARTED, ROUND, FINISHED]}),
    "sample": (
        "a line of samples.jsonl",
        thing(**FIGURES["properties"], **dataclass_of(Sample, ("figures",))["properties"]),
    ),
    "session": (
        "a saved chat",
        dataclass_of(Conversation, **FIRST, type={"const": "speccas-session"}, title=STRING),
    ),
}
"""By file name: what the document is, and its schema."""


def files() -> dict[str, str]:
    """Every file of the folder by name, with its text."""
    made = {}
    for name, (title, schema) in DOCUMENTS.items():
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"speccas: {title}", **schema}
        made[f"{name}.schema.json"] = json.dumps(whole, indent=1) + "\n"
    rows = [f"- [`{name}.schema.json`]({name}.schema.json): {title}\n" for name, (title, _) in DOCUMENTS.items()]
    head = (
        "# JSON Schemas\n\nDraft 2020-12, made from the classes that are printed (`make docs`). They are open: new "
        "keys may\ncome, none is taken away. What the keys mean is in [JSON and exit codes](../json.md).\n\n"
    )
    return {**made, "README.md": head + "".join(rows)}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
