"""Why token N is what it is: its round, the rule's inequality with its numbers, the expert's choices, the other rules.

Every number was recorded when the token was judged.
"""

from collections.abc import Iterator, Sequence

from speccas.core.decoding.events import Judged, Opinion, Status, Token
from speccas.core.decoding.rules import RULES, named_lossless
from speccas.core.errors import UsageError

from .flow import Line
from .rounds import flat, round_line, share
from .theme import Look


def find(rounds: Sequence[Judged], index: int) -> tuple[Judged, Token]:
    """Token `index` (0-based) of an answer and its round. Raises UsageError."""
    for judged in rounds:
        if judged.at <= index < judged.at + len(judged.tokens):
            return judged, judged.tokens[index - judged.at]
    count = sum(len(judged.tokens) for judged in rounds)
    raise UsageError(f"there is no token {index}: the answer has {count}", f"give 0 to {max(0, count - 1)}")


def quoted(text: str) -> str:
    return f"“{flat(text)}”"


def reason(token: Token) -> str:
    """One sentence: what the status means for this very token."""
    down = token.turned_down
    kept = token.opinion is not None and token.opinion.keeps and not named_lossless(token.opinion.rule)
    poor = "" if token.charged is None else "the budget could not pay, or "
    unlucky = f", which the rule keeps but {poor}chance did not draw from pi" * kept
    return {
        Status.AGREED: "drafted and accepted, as exact speculative decoding would have",
        Status.KEPT: "drafted and accepted only because the rule is more lenient than the exact test",
        Status.DEFERRED: f"the expert's, in place of the drafted {quoted(down.text) if down else 'token'}{unlucky}",
        Status.BONUS: "the extra token behind a draft that was accepted whole, drawn from the rule's own distribution",
        Status.EXPERT: "written by the expert alone",
        Status.DRAFTER: "written by the drafter alone",
    }[token.status]


def inequality(opinion: Opinion, best: float | None, deferred: bool = False) -> str:
    """A rule's inequality with its numbers, and what follows from it. `best` is max p. `deferred`: v was turned down,
    as coupled noise may and block verification, whatever its own numbers say."""
    name, _, alpha = opinion.rule.partition(":")
    sign = opinion.sense if opinion.keeps else {">=": "<", "<=": ">"}.get(opinion.sense, "?")
    verdict = "kept" if opinion.keeps else "not kept: left to the exact test"
    if name not in RULES:  # a trace of another version
        return f"{opinion.left:.3g} {sign} {opinion.right:.3g}: {verdict}"
    kind = RULES[name]
    formula = kind.formula
    dial = alpha or (f"{kind.dial.default:g}" if kind.dial is not None else "")
    given = ", ".join(
        [f"alpha {dial}"] * bool(dial) + [f"max p {best:.3g}"] * ("max p" in formula and best is not None)
    )
    given = f"; {given}" * bool(given)
    if named_lossless(opinion.rule):
        stands = opinion.keeps and not deferred
        verdict = "accepted" if stands else "left to chance, or at temperature 0 turned down"
        formula = "p(v) against q(v), or against max p at temperature 0"
    return f"{opinion.left:.3g} {sign} {opinion.right:.3g}: {verdict}   ({formula}{given})"


def explain(look: Look, rounds: Sequence[Judged], index: int) -> Iterator[Line]:
    """The lines that answer `--why N`."""
    judged, token = find(rounds, index)
    yield [
        (f"token {index} ", "heading"),
        (quoted(token.text), str(token.status)),
        (f" is {token.status}: {reason(token)}", ""),
    ]
    if token.level is not None:
        who = "the first drafter, and the drafter let it stand" if token.level == 1 else "the drafter"
        yield [(f"  drafted by {who}", "")]
    how = "looked up" if judged.source == "lookup" else "drafted"
    yield [(f"  round {judged.round}, {how} {judged.drafted}: ", "quiet"), *round_line(look, judged, numbers=False)]
    if not token.expert_top and token.q is None:
        yield [("  this run was recorded without detail; record one with --trace FILE", "warning")]
        return
    down = token.turned_down
    if down is not None:
        yield [(f"  turned down {quoted(down.text)}  q {share(down.q)}  p {share(down.p)}", "")]
    yield [(f"  {quoted(token.text)}  q {share(token.q)}  p {share(token.p)}", "")]
    if token.charged:
        yield [(f"  charged {token.charged:.2f} nats of the budget", "")]
    best = token.expert_top[0][2] if token.expert_top else None
    if token.opinion is not None:
        yield [(f"  {token.opinion.rule}: {inequality(token.opinion, best, down is not None)}", "")]
    choices = "   ".join(f"{quoted(text)} {p:.4g}" for _, text, p in token.expert_top)
    yield [(f"  the expert's first choices: {choices}", "")]
    if token.others:
        lossy = [each for each in token.others if not named_lossless(each.rule)]
        kept = ", ".join(each.rule for each in lossy if each.keeps)
        rest = ", ".join(each.rule for each in lossy if not each.keeps)
        drafted = quoted(token.text if down is None else down.text)
        yield [(f"  would keep {drafted}: {kept or 'no rule'}", "")]
        yield [(f"  would leave {drafted} to the exact test: {rest or 'no rule'}", "")]
