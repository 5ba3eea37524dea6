"""Each constant says where its value comes from, and another value is used where it is given."""

import ast
import inspect
from dataclasses import fields, replace

import numpy as np

from speccas.core.decoding.length import constants
from speccas.core.decoding.length.acceptance import AcceptanceModel
from speccas.core.decoding.length.auto import AutoPolicy
from speccas.core.decoding.length.constants import CONSTANTS, PolicyConstants
from speccas.core.decoding.length.latency import LatencyModel
from speccas.core.decoding.sampling import Distribution


def test_each_constant_says_whether_it_was_chosen_or_measured() -> None:
    (record,) = (node for node in ast.parse(inspect.getsource(constants)).body if isinstance(node, ast.ClassDef))
    documented = {
        field.target.id: text.value.value
        for field, text in zip(record.body, record.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    assert list(documented) == [field.name for field in fields(PolicyConstants)]
    for name, text in documented.items():
        assert "Chosen" in str(text) or "Measured" in str(text), name


def test_a_policy_goes_by_the_constants_it_is_given() -> None:
    short = replace(CONSTANTS, longest_draft=2)
    policy = AutoPolicy(latency=LatencyModel({1: 1.0, 4: 1.0}, 0.01), acceptance=AcceptanceModel(), constants=short)
    assert policy.begin(8)
    drafted = 0
    while policy.more(drafted, 8) and policy.takes(Distribution(np.array([20, 0], np.float32))):
        drafted += 1
    assert drafted == 2
