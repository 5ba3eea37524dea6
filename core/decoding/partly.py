"""What may run with an expert of whom only some probabilities are known (`sparse.py`): decided before the first token,
from the arm, the sampling and how many of each row's most likely tokens its server tells.

`docs/rules.md` prints this as a table.
"""

from ..errors import ServerRefuses
from .arms import Arm
from .deferral import OfExpert, Rule
from .rules import TopK
from .sampling import Sampling

LEAST = 2
"""Tokens of a row that must be told: the best one, and by how much it is that."""


def refusal(rule: Rule | None, sampling: Sampling, sent: int) -> str:
    """Why an arm cannot run, as a clause; "" where it can. `rule` None: one model alone, or one after the other."""
    if sampling.penalty.on:
        return f"a repetition penalty changes every probability, and the expert's server tells {sent} of a row"
    if not sampling.greedy and (why := chance_refusal(sampling, sent)):
        return why
    if rule is None or rule.lossless(sampling):
        return ""
    needed = rule.of_expert[0 if sampling.greedy else 1]
    if needed is OfExpert.ALL or (needed is OfExpert.SAMPLED and not sampling.top_k):
        return f"at this temperature the rule reads all of the expert's probabilities, and its server tells {sent}"
    if isinstance(rule, TopK) and rule.alpha > sent:
        return f"the rule reads the expert's {rule.alpha:g} most likely tokens, and its server tells {sent}"
    return ""


def chance_refusal(sampling: Sampling, sent: int) -> str:
    """Why nothing can be drawn at this sampling above temperature 0, as a clause; "" where it can."""
    if sampling.test == "coupled":
        return "coupled sampling needs all of the expert's probabilities"
    if sampling.test == "block":
        return "block verification needs all of the expert's probabilities"
    if sampling.top_k > sent:
        return f"top-k {sampling.top_k} is more than the {sent} tokens of a row that the expert's server tells"
    if sampling.top_k and sampling.margin < 1:
        return "a margin is of all of the expert's probabilities"
    if sampling.top_k:
        return ""
    if sampling.temperature != 1 or sampling.filters:
        return (
            f"above temperature 0 it takes temperature 1 without filters, or a top-k of at most the {sent} tokens of a "
            "row that the expert's server tells"
        )
    if sampling.budget is not None:
        return f"a budget above temperature 0 takes a top-k of at most the {sent} tokens that the expert's server tells"
    return ""


def cut_list(rule: Rule | None, sampling: Sampling) -> bool:
    """Whether the rule's list of approved tokens is cut to those that are told."""
    if rule is None or sampling.greedy or rule.lossless(sampling):
        return False
    return rule.of_expert[1] is OfExpert.LIST and not isinstance(rule, TopK)


def require_told(arm: Arm, sampling: Sampling, sent: int) -> None:
    """Raises ServerRefuses where the arm cannot run. `sent` 0: all of the expert's probabilities are known."""
    if sent and "expert" in arm.models and (why := refusal(arm.rule, sampling, sent)):
        raise ServerRefuses(f"{arm.name} cannot run with this expert: {why}", sent=sent)
