"""Errors of core get their hint where the command knows one, and keep the one they have."""

import pytest

from speccas.cli.hints import HINTS, hint_of, hinted
from speccas.core.errors import (
    DoesNotFit,
    IntegrityError,
    NotPulled,
    PromptTooLong,
    SpeccasError,
    UnknownRule,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (UsageError("no"), "use a flag"),
        (UsageError("no", "its own"), "its own"),
        (IntegrityError("no"), ""),
    ],
)
def test_an_error_gets_the_hint_of_its_type(error: SpeccasError, hint: str) -> None:
    with pytest.raises(type(error)) as told, hinted({UsageError: "use a flag"}):
        raise error
    assert told.value.hint == hint


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (PromptTooLong("too long"), "use a larger --ctx, or a shorter prompt"),
        (PromptTooLong("too long", "its own"), "its own"),
        (
            DoesNotFit("too large", context=512),
            "--ctx 512 is the largest that fits; --no-memory-check loads it all the same",
        ),
        (
            DoesNotFit("too large", context=0),
            "close other programs, or take a smaller pair; --no-memory-check loads it all the same",
        ),
        (DoesNotFit("too large"), "use a smaller --ctx"),
        (NotPulled("not here", pull="qwen3-8b"), "speccas pull qwen3-8b"),
        (UnknownRule("no rule", "did you mean 'token'?"), "did you mean 'token'? `speccas rules` lists them"),
        (UsageError("no"), ""),
    ],
)
def test_facts_become_hints_here(error: SpeccasError, hint: str) -> None:
    assert hint_of(error) == hint
    assert all(issubclass(kind, SpeccasError) for kind in HINTS)
