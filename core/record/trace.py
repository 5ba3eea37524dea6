"""Events to JSON lines and back (docs/traces.md).

Written as it happens, so a killed run leaves what it had; a torn last line is tolerated.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ..decoding.events import Drafted, Event, Finish, Finished, Judged, Opinion, Piece, Started, Status, Token
from ..errors import NotATrace, UsageError
from .metrics import Figures

SCHEMA = 1
MAX_LINE = 16 << 20  # characters


class TraceWriter:
    """A sink that writes each event of an arm when it comes; `finished` closes an arm with its figures."""

    def __init__(self, file: TextIO, manifest: Mapping[str, Any], prompt: str) -> None:
        self.file = file
        self.manifest = manifest
        self.prompt = prompt

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._write(
                type="started",
                arm=event.arm,
                schema=SCHEMA,
                manifest=self.manifest,
                prompt=self.prompt,
                rule=event.rule,
                alpha=event.alpha,
                k=event.k,
                prompt_tokens=event.prompt_tokens,
                budget=event.budget,
            )
        elif isinstance(event, Judged):
            self._write(**judged_json(event))

    def finished(self, figures: Figures, tail: str) -> None:
        """The last line of an arm. `tail` is the text that settled only at the end."""
        self._write(type="finished", **{"arm": figures.name, **figures.as_json(), "tail": tail})

    def _write(self, **line: Any) -> None:
        self.file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        self.file.flush()


def judged_json(event: Judged) -> dict[str, Any]:
    """One round as a line."""
    return {
        "type": "round",
        "arm": event.arm,
        "round": event.round,
        "at": event.at,
        "k": event.k,
        "mode": event.mode,
        "source": event.source,
        "t_ms": event.t_ms,
        "draft_ms": event.draft_ms,
        "verify_ms": event.verify_ms,
        "drafted": event.drafted,
        "expert_calls": event.expert_calls,
        "tokens": [token_json(token) for token in event.tokens],
        "discarded": [{"id": p.id, "bytes": p.bytes.hex(), "text": p.text} for p in event.discarded],
    }


def token_json(token: Token) -> dict[str, Any]:
    down, opinion = token.turned_down, token.opinion
    return {
        "id": token.id,
        "bytes": token.bytes.hex(),
        "text": token.text,
        "status": str(token.status),
        "q": token.q,
        "p": token.p,
        "log_p": token.log_p,
        "gap": token.gap,
        "charged": token.charged,
        "level": token.level,
        "expert_top": [list(each) for each in token.expert_top],
        "rule": None if opinion is None else opinion_json(opinion),
        "others": [opinion_json(each) for each in token.others],
        "turned_down": None
        if down is None
        else {"id": down.id, "bytes": down.bytes.hex(), "text": down.text, "q": down.q, "p": down.p},
    }


def opinion_json(opinion: Opinion) -> dict[str, Any]:
    return {
        "name": opinion.rule,
        "left": opinion.left,
        "sense": opinion.sense,
        "right": opinion.right,
        "keeps": opinion.keeps,
    }


@dataclass
class TraceArm:
    """One arm as it was recorded."""

    started: Started
    prompt: str
    manifest: Mapping[str, Any]
    rounds: list[Judged] = field(default_factory=list)
    finished: Mapping[str, Any] | None = None

    def events(self) -> Iterator[Event]:
        """The arm's events again, drafts included; an arm that was cut off ends as interrupted."""
        yield self.started
        for judged in self.rounds:
            pieces = drafted_pieces(judged)
            if pieces:
                yield Drafted(judged.arm, judged.round, pieces)
            yield judged
        end = self.finished or {}
        last = self.rounds[-1].t_ms / 1e3 if self.rounds else 0.0
        yield Finished(
            self.started.arm,
            Finish(end.get("finish", "interrupted")),
            str(end.get("tail", "")),
            float(end.get("seconds", last)),
            float(end.get("draft_seconds", 0.0)),
            float(end.get("verify_seconds", 0.0)),
            0.0,
            end.get("drafter_steps"),
        )


def drafted_pieces(judged: Judged) -> tuple[Piece, ...]:
    """The draft of a round as it was written: what was accepted, what was turned down, what was discarded."""
    pieces = []
    for token in judged.tokens:
        if token.turned_down is not None:
            pieces.append(token.turned_down)
        elif token.status in (Status.AGREED, Status.KEPT):
            pieces.append(Piece(token.id, token.bytes, token.text, token.q, token.p))
    return (*pieces, *judged.discarded)


def read_trace(path: Path) -> list[TraceArm]:
    """Every arm of a trace. Raises UsageError for a missing file, IntegrityError with the line that is no trace."""
    arms: list[TraceArm] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                try:
                    _read_line(json.loads(line[:MAX_LINE]), arms)
                except (
                    ValueError,
                    KeyError,
                    TypeError,
                    IndexError,
                    AttributeError,
                    ArithmeticError,
                    RecursionError,
                ) as error:
                    if not line.endswith("\n") and arms:
                        break  # torn: the run was killed while it wrote this line
                    what = f"{type(error).__name__}: {str(error)[:80]}"
                    raise NotATrace(f"{path}, line {number}: this is no trace of speccas ({what})") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check the path") from None
    if not arms:
        raise NotATrace(f"{path} is no trace of speccas: it is empty")
    return arms


def _read_line(line: dict[str, Any], arms: list[TraceArm]) -> None:
    kind = line["type"]
    if kind == "started":
        if line["schema"] != SCHEMA:
            raise ValueError(f"schema {line['schema']}, this speccas reads {SCHEMA}")
        started = Started(
            arm=str(line["arm"]),
            rule=line["rule"],
            alpha=line["alpha"],
            k=line["k"],
            prompt_tokens=int(line["prompt_tokens"]),
            budget=_number(line.get("budget")),
        )
        arms.append(TraceArm(started, str(line["prompt"]), dict(line["manifest"])))
    elif kind == "round":
        arms[-1].rounds.append(_round(line))
    elif kind == "finished":
        arms[-1].finished = _finished(line)
    else:
        raise ValueError(f"unknown type {kind!r}")


def _finished(line: dict[str, Any]) -> dict[str, Any]:
    """The figures that a view reads, checked; the rest as it is."""
    Finish(line["finish"])
    counts = {name: int(line[name]) for name in ("tokens",)}
    times = {name: float(line[name]) for name in ("seconds", "draft_seconds", "verify_seconds")}
    maybe = {name: _number(line[name]) for name in ("acceptance", "tokens_per_second", "speedup", "expert_logprob")}
    counted = {name: None if line[name] is None else int(line[name]) for name in ("kept", "deferred")}
    steps = line.get("drafter_steps")  # not in traces of version 0.1
    known = {"drafter_steps": None if steps is None else int(steps), "tail": str(line["tail"])}
    return {**line, **counts, **times, **maybe, **counted, **known}


def _time(value: Any) -> float:
    """Milliseconds; raises ValueError for what no clock says."""
    number = float(value)
    if not 0 <= number < 1e10:
        raise ValueError(f"time {number}")
    return number


def _round(line: Mapping[str, Any]) -> Judged:
    return Judged(
        str(line["arm"]),
        int(line["round"]),
        int(line["at"]),
        line["k"],
        tuple(_token(token) for token in line["tokens"]),
        tuple(_piece(piece) for piece in line["discarded"]),
        int(line["drafted"]),
        int(line["expert_calls"]),
        _time(line["t_ms"]),
        _time(line["draft_ms"]),
        _time(line["verify_ms"]),
        str(line["mode"]),
        str(line["source"]),
    )


def _token(token: Mapping[str, Any]) -> Token:
    down = token["turned_down"]
    return Token(
        int(token["id"]),
        bytes.fromhex(token["bytes"]),
        str(token["text"]),
        Status(token["status"]),
        _number(token["log_p"]),
        _number(token["gap"]),
        _number(token["q"]),
        _number(token["p"]),
        tuple((int(i), str(text), float(p)) for i, text, p in token["expert_top"]),
        None if token["rule"] is None else _opinion(token["rule"]),
        tuple(_opinion(each) for each in token["others"]),
        None if down is None else _piece(down),
        _number(token.get("charged")),  # not in traces of before budgets
        None if token.get("level") is None else int(token["level"]),  # nor of before chains
    )


def _piece(piece: Mapping[str, Any]) -> Piece:
    q, p = _number(piece.get("q")), _number(piece.get("p"))
    return Piece(int(piece["id"]), bytes.fromhex(piece["bytes"]), str(piece["text"]), q, p)


def _opinion(line: Mapping[str, Any]) -> Opinion:
    return Opinion(
        str(line["name"]), float(line["left"]), str(line["sense"]), float(line["right"]), bool(line["keeps"])
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
