"""Errors of core get their hint where the command knows one, and keep the one they have."""

import pytest

from speccas.cli.hints import hinted
from speccas.core.errors import IntegrityError, SpeccasError, UsageError


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
