"""Whether two models can work together, from their headers alone, and what tells them apart."""

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import CannotPair
from .architecture import require_language_model, template, template_hash, trained_context, vocabulary_size
from .gguf import Header
from .heads import HeadFacts, misfit
from .memory import costs_of_going_back
from .mixture import never_batches
from .vocabulary import Relation, Tokens, VocabularyMap, compare, require_distinct, require_pair
from .weights import active_share, is_split

REFUSED = "cannot be paired"
HEAD = "head"
NARROW = 3.0  # an expert fewer times as large leaves little to win

MEANING = {
    Relation.IDENTICAL: "the same tokens: every rule works, `exact` is lossless",
    Relation.PADDED: "the same tokens but for padding at the end: every rule works, `exact` is lossless",
    Relation.SUBSET: "every token of the drafter is one of the expert's; what it lacks it spells: `exact` is lossless",
    Relation.OVERLAPPING: "two tokenizers: the drafter proposes only tokens that both have",
}
"""What a relation means for a user, in this one place."""

RENORMALISED = (
    "drafts are drawn from what both vocabularies have, renormalised; `exact` stays lossless. To rules that compare q "
    "the rest is doubt: confidence, entropy, comparative, cost-benefit and token-q defer a little more; bild, which "
    "leaves the rest out of its cross-entropy, a little less; rules that read p alone are as ever"
)
"""What it does to the rules that a drafter's probability is not all on tokens of the expert."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something the two files say of themselves differently; `name` is for people and for `--json`."""

    name: str
    drafter: str
    expert: str


@dataclass(frozen=True, slots=True)
class TokenDifference:
    """A token id whose texts differ; None where a side has no such id."""

    id: int
    drafter: bytes | None
    expert: bytes | None


@dataclass(frozen=True, slots=True)
class PairCheck:
    """The answer of `check`. `share`: of the drafter's tokens, those that are tokens of the expert. `single`: of the
    expert's, those that are one token of the drafter."""

    verdict: str
    reason: str
    share: float
    single: float
    tokens: tuple[TokenDifference, ...]
    tokenizer: tuple[Difference, ...]
    template: tuple[Difference, ...]
    ratio: float
    """Parameters of the expert that a token uses, for each one of the drafter (bytes, where a model is split)."""
    remarks: tuple[str, ...]
    chat_template: bool = True
    """Whether the expert has one."""
    head: HeadFacts | None = None
    """Of a drafter that is a head."""

    @property
    def works(self) -> bool:
        return self.verdict != REFUSED

    def as_json(self) -> dict[str, Any]:
        """The verdict; a token's text as it reads, and its bytes in hexadecimal."""

        def token(text: bytes | None) -> dict[str, str] | None:
            return None if text is None else {"text": text.decode("utf-8", "replace"), "bytes": text.hex()}

        tokens = [{"id": t.id, "drafter": token(t.drafter), "expert": token(t.expert)} for t in self.tokens]
        return {**asdict(self), "tokens": tokens, "works": self.works}


def judge(drafter: Header, expert: Header, sizes: tuple[int, int], most: int = 5) -> PairCheck:
    """The verdict on a pair, with up to `most` differing tokens; `sizes` are the bytes of the two files (of all parts).
    The drafter may be a head.

    Raises CannotPair where one is no language model, IntegrityError where one has two tokens of one text.
    """
    facts = HeadFacts.of(drafter)
    if facts is not None:
        return _judge_head(drafter, expert, facts, sizes)
    for header in (drafter, expert):
        require_language_model(header, header.file)
        require_distinct(Tokens.of(header), header.file)
    vocabulary = compare(Tokens.of(drafter), Tokens.of(expert))
    problem = _problem(vocabulary)
    ratio = times_as_large(drafter, expert, sizes)
    return PairCheck(
        REFUSED if problem else str(vocabulary.relation),
        problem or MEANING[vocabulary.relation],
        vocabulary.share,
        vocabulary.single,
        tuple(TokenDifference(*each) for each in vocabulary.differences(most)),
        tuple(_tokenizer(drafter, expert)),
        tuple(_template(drafter, expert)),
        ratio,
        tuple(_remarks(drafter, expert, ratio, vocabulary.relation)),
        bool(template(expert)),
    )


def _judge_head(head: Header, expert: Header, facts: HeadFacts, sizes: tuple[int, int]) -> PairCheck:
    require_language_model(expert, expert.file)
    require_distinct(Tokens.of(expert), expert.file)
    problem, ratio = misfit(head, expert), times_as_large(head, expert, sizes)
    remarks = [f"what it has not of its own it takes from the expert: {', '.join(facts.borrows)}"] * bool(facts.borrows)
    return PairCheck(
        REFUSED if problem else HEAD,
        problem or f"{facts.told}: every rule works, `exact` is lossless",
        share=1.0,
        single=min(1.0, facts.proposes / max(1, vocabulary_size(expert))),
        tokens=(),
        tokenizer=(),
        template=(),
        ratio=ratio,
        remarks=(*swapped(ratio), *remarks, *never_batches(expert, "the expert"), *costs_of_going_back(head, expert)),
        chat_template=bool(template(expert)),
        head=facts,
    )


def times_as_large(drafter: Header, expert: Header, sizes: tuple[int, int]) -> float:
    """Parameters of the expert that a token uses, for each one of the drafter; bytes, where a model is split over
    files. `sizes`: bytes of the two files (of all parts)."""
    split = any(is_split(header) for header in (drafter, expert))
    small, large = sizes if split else (drafter.parameters, expert.parameters)
    return large * active_share(expert) / max(1.0, small * active_share(drafter))


def swapped(ratio: float) -> list[str]:
    """The line for a drafter that is larger than its expert."""
    if ratio >= 1:
        return []
    return [f"the drafter is {1 / max(ratio, 1e-9):.1f} times as large as the expert: are they the wrong way round?"]


def _problem(vocabulary: VocabularyMap) -> str:
    """Why speccas refuses to decode with the pair, or ""."""
    try:
        require_pair(vocabulary, "drafter", "expert")
    except CannotPair as error:
        return error.message
    return ""


def _tokenizer(drafter: Header, expert: Header) -> list[Difference]:
    found = []
    for key in ("model", "pre", "add_bos_token", "add_eos_token", "add_space_prefix"):
        mine, theirs = (header.metadata.get(f"tokenizer.ggml.{key}") for header in (drafter, expert))
        if mine != theirs:
            found.append(Difference(key, _said(mine), _said(theirs)))
    sizes = [len(Tokens.of(header)) for header in (drafter, expert)]
    if sizes[0] != sizes[1]:
        found.append(Difference("tokens", f"{sizes[0]:,}", f"{sizes[1]:,}"))
    for key in ("bos", "eos", "eot"):
        mine, theirs = (_special(header, key) for header in (drafter, expert))
        if mine != theirs:
            found.append(Difference(f"{key} token", mine, theirs))
    if drafter.metadata.get("tokenizer.ggml.merges") != expert.metadata.get("tokenizer.ggml.merges"):
        found.append(Difference("merges", *(_count(header) for header in (drafter, expert))))
    return found


def _special(header: Header, kind: str) -> str:
    token = header.get(f"tokenizer.ggml.{kind}_token_id", int, -1)
    texts = Tokens.of(header).texts
    return f"{token} {texts[token].decode('utf-8', 'replace')!r}" if 0 <= token < len(texts) else "none"


def _count(header: Header) -> str:
    merges = Tokens.of(header).merges
    return "none" if merges is None else f"{len(merges):,}"


def _template(drafter: Header, expert: Header) -> list[Difference]:
    mine, theirs = template(drafter), template(expert)
    if mine == theirs:
        return []
    hashes = ((template_hash(header) or "none")[:12] for header in (drafter, expert))
    found = [Difference("template", *hashes)]
    lines = zip(mine.splitlines(), theirs.splitlines(), strict=False)
    first = next(((i, a, b) for i, (a, b) in enumerate(lines, 1) if a != b), None)
    if first is not None:
        line, a, b = first
        at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        found.append(Difference(f"template, line {line}, column {at + 1}", *(text[at : at + 60] for text in (a, b))))
    return found


def _remarks(drafter: Header, expert: Header, ratio: float, relation: Relation) -> list[str]:
    remarks = swapped(ratio)
    if 1 <= ratio < NARROW:
        remarks.append(f"the expert is only {ratio:.1f} times as large: drafting often costs more than it saves")
    if not template(expert):
        remarks.append("no chat template in the expert's file: a prompt is sent as it is, to both models")
    elif template(drafter) != template(expert):
        apart = relation in (Relation.SUBSET, Relation.OVERLAPPING) and template(drafter)
        remarks.append(
            "each reads the conversation in its own template" if apart else "only the expert's template is used"
        )
    if relation is Relation.OVERLAPPING:
        remarks.append(RENORMALISED)
    short, long = trained_context(drafter), trained_context(expert)
    if short < long:
        remarks.append(f"the drafter was trained for {short:,} tokens, the expert for {long:,}")
    for what, header in (("drafter", drafter), ("expert", expert)):
        if (share := active_share(header)) < 1:
            active, every = (_written(count) for count in (share * header.parameters, header.parameters))
            remarks.append(f"of the {what}'s {every} parameters a token uses {active}: it is judged by those")
    return [*remarks, *never_batches(expert, "the expert"), *costs_of_going_back(drafter, expert)]


def _written(count: float) -> str:
    """`3.3 billion`, `135 million`."""
    return f"{count / 1e9:.1f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"


def _said(value: object) -> str:
    return "not given" if value is None else str(value)[:60]
