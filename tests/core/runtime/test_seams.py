"""What a stranger adds: a backend and a draft source, each one file and one line, with no change to the engine."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from speccas.core.decoding.arms import every_arm, parse_arm
from speccas.core.decoding.drafts.draft_source import Draft, Drawing, ExpertRead
from speccas.core.decoding.engine import speculate
from speccas.core.decoding.events import Finished, Judged, Started
from speccas.core.decoding.length.policy import FixedPolicy, Policy
from speccas.core.decoding.model import Rows
from speccas.core.decoding.sampling import Distribution, Floats
from speccas.core.decoding.table import TableModel
from speccas.core.files.profiles import Profile
from speccas.core.files.source import parse_source
from speccas.core.runtime.backends import BACKENDS
from speccas.core.runtime.generate import FixedDrafting, Length, PromptRead, generate
from speccas.core.runtime.pair import Pair, load_pair
from speccas.core.runtime.prompt import Prompt
from tests.builders.loaded import asked
from tests.builders.table_backend import TEXT, TableBackend
from tests.core.decoding.toys import pair as toy_pair
from tests.core.decoding.toys import request

TABLES = Profile("tables", parse_source("table:drafter"), parse_source("table:expert"))


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Pair:
    """A backend is one class, and one line."""
    monkeypatch.setitem(BACKENDS, "table", TableBackend)
    return load_pair(TABLES)


class LastToken:
    """Proposes the last token again, twice; hears what was committed."""

    name, gives_q, seconds, steps = "last token", False, 0.0, 0

    def __init__(self) -> None:
        self.heard: list[tuple[int, bool]] = []
        self.last = 0

    def propose(self, room: int, policy: Policy, drawing: Drawing) -> Draft | None:
        return Draft([self.last] * min(2, room)) if room else None

    def observe(self, committed: Sequence[int], read: ExpertRead | None = None) -> None:
        self.heard.append((len(committed), read is not None))
        self.last = committed[-1]


def rounds(pair: Pair, prompt: Prompt, arm: str, drafting: FixedDrafting, tokens: int = 80) -> list[Judged]:
    events = generate(pair, prompt, parse_arm(arm), length=Length(tokens), drafting=drafting)
    return [event for event in events if isinstance(event, Judged)]


def text_of(found: list[Judged]) -> str:
    return "".join(token.text for each in found for token in each.tokens)


@pytest.mark.parametrize("arm", [arm.name for arm in every_arm()])
def test_a_backend_of_tables_runs_every_arm(tables: Pair, arm: str) -> None:
    events = list(generate(tables, asked(tables, "Tell me of it."), parse_arm(arm), length=Length(80)))
    kinds = [type(event) for event in events]
    assert kinds[0] is PromptRead and Started in kinds and kinds[-1] is Finished
    text = text_of([event for event in events if isinstance(event, Judged)])
    assert text.startswith(" The sea is ")
    if arm in ("exact", "expert"):
        assert text == TEXT.decode()


def test_closing_at_any_event_leaves_both_caches_usable(tables: Pair) -> None:
    prompt = asked(tables, "Tell me of it.")
    whole = text_of(rounds(tables, prompt, "exact", FixedDrafting(3)))
    count = len(list(generate(tables, prompt, parse_arm("exact"), length=Length(80), drafting=FixedDrafting(3))))
    for last in range(1, count):
        events = generate(tables, prompt, parse_arm("exact"), length=Length(80), drafting=FixedDrafting(3))
        for _, _ in zip(range(last), events, strict=False):
            pass
        events.close()
        assert tables.cached[: len(tables.expert)] == [*prompt.ids, *whole.encode()][: len(tables.expert)]
    assert text_of(rounds(tables, prompt, "exact", FixedDrafting(3))) == whole


def test_a_draft_source_of_ones_own_is_judged_like_any_other(tables: Pair) -> None:
    source = LastToken()
    prompt = asked(tables, "Tell me of it.")
    found = rounds(tables, prompt, "exact", FixedDrafting(first=[source]))
    assert text_of(found) == TEXT.decode(), "lossless, whatever is proposed"
    drafted = [each for each in found if each.drafted]
    assert {each.source for each in drafted} == {"last token"}
    assert [length for length, _ in source.heard] == sorted(length for length, _ in source.heard)
    assert [told for _, told in source.heard].count(True) == len(found)


def test_a_rule_that_reads_q_leaves_out_a_source_without(tables: Pair) -> None:
    found = rounds(tables, asked(tables, "Tell me of it."), "confidence", FixedDrafting(first=[LastToken()]))
    assert {each.source for each in found} == {"drafter"}


class Sparse(Distribution):
    """Only the best token's logit was sent."""

    def log_prob(self, token: int) -> float:
        if token != self.best:
            raise LookupError("the server did not send this token")
        return super().log_prob(token)


class Elsewhere(TableModel):
    """An expert that sends distributions instead of rows, and not all of their numbers."""

    def extend(self, ids: Sequence[int], rows: int = 1) -> Rows:  # type: ignore[override]
        dense: Floats = super().extend(ids, rows)
        return [Sparse(row.copy()) for row in dense]


def test_an_expert_that_sends_only_some_probabilities_fits() -> None:
    toy = toy_pair(3)
    alone = toy.run("expert", request(max_tokens=20)).ids
    expert = Elsewhere(lambda last: np.asarray(toy.expert.row(last)), order=3)
    toy.prefill((0, 1))
    expert.extend([0], rows=0)
    events = speculate(
        parse_arm("exact"), expert, [toy.drafter], FixedPolicy(3), request(max_tokens=20), toy.lexicon, toy.clock
    )
    judged = [event for event in events if isinstance(event, Judged)]
    assert [token.id for each in judged for token in each.tokens] == alone


def test_commands_run_in_this_process_without_a_file(
    tables: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from speccas.cli.app import app

    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pair = ["--drafter", "table:drafter", "--expert", "table:expert"]
    app(["run", "Tell me of it.", *pair, "-k", "4"], standalone_mode=False)
    assert capsys.readouterr().out == TEXT.decode() + "\n"
    app(["compare", "Tell me of it.", *pair, "-k", "4", "--rule", "token", "-q"], standalone_mode=False)
    table = capsys.readouterr().out
    assert "token" in table and "exact" in table and "expert" in table
    app(["compare", "Tell me of it.", *pair, "-k", "4", "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    assert document["arms"][1]["identical_to_expert"] is True and document["manifest"]["expert"]["sha256"] is None
