"""The drafter's tokens in terms of the expert's, as data: which ones are shared, and how the others are spelled.

Reads two GGUF headers; knows nothing of llama.cpp, of logits or of rules.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np

from ..decoding.sampling import Shared
from ..errors import CannotPair, IntegrityError
from .gguf import Header, StringArray
from .markers import is_marker
from .spelling import BYTE_OF, LETTER, by_rank, by_score, characters, from_letters

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # llama.h: enum llama_token_type

TEXT_ENDS = (b"<|endoftext|>", b"<|end_of_text|>", b"<eos>", b"</s>")
"""Texts of an EOS token that ends a document: a model with turns has another token for those, if only in some files."""
TURN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>")
"""What llama.cpp takes for the end of a turn where the header names none (llama-vocab.cpp)."""
TURN_STARTS = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|turn>", "<|start_of_role|>", "<|start|>")
"""No header names the token that starts a turn: these are the texts of the families that have one."""

PLACEHOLDER = re.compile(rb"[<\[][^<>\[\]]*(pad|unused|reserved|extra_id|extra_token)[^<>\[\]]*[>\]]", re.IGNORECASE)
"""Texts of tokens that only fill a vocabulary up; some files say of them that they are normal ones."""

BYTE_TEXT = re.compile(rb"<0x[0-9A-Fa-f]{2}>")

LEAST_SHARE = 0.2  # of the drafter's tokens; below it a drafter can say next to nothing that the expert could


class Relation(StrEnum):
    """How two vocabularies relate (docs/pairs.md)."""

    IDENTICAL = "identical"
    PADDED = "padded"
    SUBSET = "subset"
    OVERLAPPING = "overlapping"


@dataclass(frozen=True)
class Tokens:
    """A tokenizer as its GGUF header gives it."""

    model: str
    """tokenizer.ggml.model: "gpt2" is byte-level BPE, "llama" SentencePiece."""
    pre: str
    texts: StringArray
    types: "array[int] | None"
    merges: StringArray | None
    end: int = -1
    """tokenizer.ggml.eos_token_id, -1 where the header names none."""
    turn: int = -1
    """tokenizer.ggml.eot_token_id, as `end`."""
    scores: "array[float] | None" = None
    """Of SentencePiece: of two merges the one whose token has the higher score comes first."""

    @classmethod
    def of(cls, header: Header) -> "Tokens":
        texts = header.get("tokenizer.ggml.tokens", StringArray, None)
        if texts is None:
            raise CannotPair("the file holds no vocabulary", "give a GGUF of a language model")
        types = header.metadata.get("tokenizer.ggml.token_type")
        if isinstance(types, array) and len(types) != len(texts):
            raise IntegrityError(f"the header names {len(texts)} tokens but {len(types)} token types")
        scores = header.metadata.get("tokenizer.ggml.scores")
        if isinstance(scores, array) and len(scores) != len(texts):
            raise IntegrityError(f"the header names {len(texts)} tokens but {len(scores)} scores")
        end, turn = (header.get(f"tokenizer.ggml.{kind}_token_id", int, -1) for kind in ("eos", "eot"))
        return cls(
            header.get("tokenizer.ggml.model", str, ""),
            header.get("tokenizer.ggml.pre", str, ""),
            texts,
            array("q", map(int, types)) if isinstance(types, array) else None,
            header.get("tokenizer.ggml.merges", StringArray, None),
            end,
            turn,
            array("d", scores) if isinstance(scores, array) else None,
        )

    def __len__(self) -> int:
        return len(self.texts)

    def type(self, token: int) -> int:
        return NORMAL if self.types is None else int(self.types[token])

    def stands_for(self, token: int) -> bytes:
        """What a token stands for, control tokens by their spelling."""
        text = self.texts[token]
        kind = self.type(token)
        if self.model == "gpt2" and kind == NORMAL:
            return from_letters(text)
        if self.model != "gpt2" and kind == BYTE and BYTE_TEXT.fullmatch(text):
            return bytes([int(text[3:5], 16)])
        if self.model != "gpt2" and kind == NORMAL:
            return text.replace("▁".encode(), b" ")
        return text

    def marks(self, token: int) -> bool:
        """Whether a token is a marker: it stands for a place in a conversation, and nobody writes it by typing it."""
        kind = self.type(token)
        return is_marker(self.texts[token], kind in (UNKNOWN, CONTROL), kind == USER_DEFINED)

    @cached_property
    def index(self) -> dict[tuple[bytes, bool], int]:
        """Token by what it stands for and whether it is a marker. Of equals the first, but a single byte's token
        behind all others: SentencePiece has `a` and `<0x61>`, and writes the latter only where it must."""
        found: dict[tuple[bytes, bool], int] = {}
        single: dict[tuple[bytes, bool], int] = {}
        for token in range(len(self)):
            single_byte = self.type(token) == BYTE
            (single if single_byte else found).setdefault((self.stands_for(token), self.marks(token)), token)
        return {**single, **found}

    def control(self, texts: Sequence[str]) -> int:
        """The first control token with one of these texts; -1 where there is none."""
        return next((self.index[key] for text in texts if (key := (text.encode(), True)) in self.index), -1)

    @cached_property
    def markers(self) -> dict[str, int]:
        """Markers by text, the first of equals."""
        found: dict[str, int] = {}
        for token, text in enumerate(self.texts):
            if self.marks(token):
                found.setdefault(text.decode("utf-8", "replace"), token)
        return found

    @cached_property
    def turn_end(self) -> int:
        """The token that ends a turn; -1 where there is none."""
        turn = self.turn
        if turn < 0 and 0 <= self.end < len(self) and self.texts[self.end] in TEXT_ENDS:
            turn = self.control(TURN_ENDS)
        turn = turn if turn >= 0 else self.end
        return turn if turn < len(self) else -1

    @cached_property
    def turn_start(self) -> int:
        """The token that starts a turn; -1 where there is none."""
        return self.control(TURN_STARTS)

    @cached_property
    def ranks(self) -> dict[tuple[str, str], int]:
        """BPE merges with their rank; the lowest is merged first."""
        merges = (merge.decode("utf-8", "replace").split(" ", 1) for merge in self.merges or ())
        return {(pair[0], pair[-1]): rank for rank, pair in enumerate(merges)}

    @cached_property
    def _pieces(self) -> dict[str, int]:
        """Token by its text, of those that a merge may lead to."""
        found: dict[str, int] = {}
        for token, text in enumerate(self.texts):
            if self.type(token) not in (UNUSED, BYTE) and not self.marks(token):
                found.setdefault(text.decode("utf-8", "replace"), token)
        return found

    @property
    def unspellable(self) -> str:
        """Why this tokenizer cannot spell bytes; "" where it can."""
        if self.model in ("gpt2", "gemma4"):
            return "" if self.merges is not None else "the file holds no merges"
        known = "byte-level BPE and SentencePiece can be spelled"
        return "" if self.model == "llama" else f"its tokenizer is {self.model or 'not named'!r}, and only {known}"

    def spell(self, data: bytes) -> list[int]:
        """Ids of raw bytes under this tokenizer's merges. Never fails on half a character, unlike llama_tokenize.

        A byte that the vocabulary has no token for is left out: the model then reads around it; so is everything where
        the tokenizer is `unspellable`.
        """
        if self.unspellable:
            return []
        if self.model == "gpt2":
            parts = by_rank([LETTER[byte] for byte in data], self.ranks)
            words = [bytes(BYTE_OF[letter] for letter in part) for part in parts]
            known = [self.index.get((word, False)) for word in words]
        else:
            parts, pieces, scores = characters(data), self._pieces, self.scores
            if self.model == "llama":
                parts = by_score(parts, lambda text: score_of(scores, pieces.get(text)))
            else:
                parts = by_rank(parts, self.ranks)
            words = [part.replace("▁", " ").encode("utf-8", "surrogateescape") for part in parts]
            known = [pieces.get(part) for part in parts]
        ids: list[int] = []
        for word, token in zip(words, known, strict=True):  # what is no token: its bytes are, as in llama.cpp
            singles = (self.index.get((bytes([byte]), False)) for byte in word)
            ids += [each for each in singles if each is not None] if token is None else [token]
        return ids


def score_of(scores: "array[float] | None", token: int | None) -> float | None:
    """A token's score, 0 where the file gives none (as llama.cpp has it); None for no token."""
    return None if token is None else 0.0 if scores is None else scores[token]


@dataclass(frozen=True)
class VocabularyMap:
    """The drafter's side of the expert's vocabulary; implements `Spelling` of the model drafter."""

    relation: Relation
    shared: Shared | None
    drafter: Tokens
    expert: Tokens
    share: float
    """Share of the drafter's tokens that are tokens of the expert."""

    @cached_property
    def _spelled(self) -> dict[int, tuple[int, ...]]:
        return {}

    @property
    def single(self) -> float:
        """Share of the expert's tokens that are one token of the drafter."""
        return 1.0 if self.shared is None else self.shared.count / max(1, len(self.expert))

    @property
    def lacking(self) -> list[int]:
        """The expert's tokens of ordinary text that the drafter reads in a spelling of its own; padding and control
        tokens, which hardly any text has, are not among them."""
        if self.shared is None:
            return []
        entry, count = self.shared.entry, self.shared.count
        without = range(count, len(self.expert)) if entry is None else map(int, np.flatnonzero(entry < 0))
        return [token for token in without if self._ordinary(token)]

    def _ordinary(self, token: int) -> bool:
        expert = self.expert
        if expert.type(token) not in (NORMAL, USER_DEFINED) or token == expert.turn_start:
            return False
        return not PLACEHOLDER.fullmatch(expert.texts[token])

    def spell(self, token: int) -> Sequence[int]:
        shared = self.shared
        if shared is None:
            return (token,)
        found = token if shared.entry is None else int(shared.entry[token])
        if shared.rows is not None and found >= 0:
            return (int(shared.rows[found]),)
        if 0 <= found < shared.count:
            return (found,)
        if token == self.expert.turn_start and self.drafter.turn_start >= 0:  # another text, the same role
            return (self.drafter.turn_start,)
        if token not in self._spelled:
            self._spelled[token] = tuple(self.drafter.spell(self.expert.stands_for(token)))
        return self._spelled[token]

    def differences(self, most: int = 5) -> list[tuple[int, bytes | None, bytes | None]]:
        """The first ids whose texts differ: (id, drafter's text, expert's text)."""
        left, right = self.drafter.texts, self.expert.texts
        found: list[tuple[int, bytes | None, bytes | None]] = []
        same = min(len(left), len(right)) if self.relation in (Relation.IDENTICAL, Relation.PADDED) else 0
        for token in range(same, max(len(left), len(right))):
            mine = left[token] if token < len(left) else None
            theirs = right[token] if token < len(right) else None
            if mine != theirs:
                found.append((token, mine, theirs))
                if len(found) == most:
                    break
        return found


def compare(drafter: Tokens, expert: Tokens) -> VocabularyMap:
    """How the drafter's vocabulary relates to the expert's. Every relation has its data; what to refuse is the
    caller's business."""
    if drafter.model == expert.model:
        if drafter.texts == expert.texts:
            return VocabularyMap(Relation.IDENTICAL, None, drafter, expert, 1.0)
        common = min(len(drafter), len(expert))
        if drafter.texts.begins_as(expert.texts, common):
            shared = Shared(len(expert), common, whole=len(drafter) <= len(expert))
            return VocabularyMap(Relation.PADDED, shared, drafter, expert, common / len(drafter))
    found = _shared(drafter, expert)
    if drafter.turn_end >= 0 and expert.turn_end >= 0:  # one, however the two spell it; no token of the drafter is two
        found = {row: token for row, token in found.items() if token != drafter.turn_end}
        found[expert.turn_end] = drafter.turn_end
    pairs = sorted((row, token) for token, row in found.items())
    rows = np.array([row for row, _ in pairs], dtype=np.int32)
    ids = np.array([token for _, token in pairs], dtype=np.int32)
    whole = len(pairs) == len(drafter)
    shared = Shared(len(expert), len(pairs), ids, None if whole else rows, whole)
    relation = Relation.SUBSET if whole and drafter.model == expert.model else Relation.OVERLAPPING
    return VocabularyMap(relation, shared, drafter, expert, len(pairs) / max(1, len(drafter)))


def _shared(drafter: Tokens, expert: Tokens) -> dict[int, int]:
    """The drafter's token for each of the expert's that it has too: what stands for the same, the first of equals. Of
    two SentencePiece files first what has the same text, as `a` and `<0x61>` stand for the same."""
    found: dict[int, int] = {}
    rest = list(range(len(drafter)))
    if drafter.model == expert.model != "gpt2":
        texts: dict[tuple[bytes, int], int] = {}
        for token, text in enumerate(expert.texts):
            texts.setdefault((text, expert.type(token)), token)
        for token in rest:
            if (same := texts.get((drafter.texts[token], drafter.type(token)))) is not None:
                found.setdefault(same, token)
        taken = set(found.values())
        rest = [token for token in rest if token not in taken]
    for token in rest:
        if (same := expert.index.get((drafter.stands_for(token), drafter.marks(token)))) is not None:
            found.setdefault(same, token)
    return found


def require_distinct(tokens: Tokens, file: str) -> None:
    """Raises IntegrityError where two tokens have the same text (up to a zero byte): llama.cpp aborts on such a file.
    It gives those without a text one of their own."""
    seen: dict[bytes, int] = {}
    for token, text in enumerate(tokens.texts):
        written = text.partition(b"\0")[0]
        if written and seen.setdefault(written, token) != token:
            both = f"{seen[written]:,} and {token:,}"
            raise IntegrityError(
                f"{file}: the tokens {both} have the same text {show(written)}, which llama.cpp does not take",
                "take another conversion of the model",
            )


def require_pair(vocabulary: VocabularyMap, drafter: str, expert: str) -> None:
    """Raises CannotPair, with the first differing tokens, where drafts could hardly ever be the expert's tokens."""
    shared = vocabulary.shared
    if shared is None:
        return
    mapped = shared.entry is None or (end := vocabulary.expert.turn_end) < 0 or int(shared.entry[end]) >= 0
    if vocabulary.share < LEAST_SHARE or not mapped:
        first = "; ".join(
            f"id {token}: {show(mine)} / {show(theirs)}" for token, mine, theirs in vocabulary.differences(3)
        )
        why = "" if mapped else ", and the expert's end of a turn is no token of the drafter"
        raise CannotPair(
            f"{drafter} and {expert} have two different tokenizers ({vocabulary.share:.0%} of the drafter's tokens are "
            f"tokens of the expert{why}); first differing tokens, drafter / expert: {first}",
            "use a drafter of the expert's own family",
        )
    lacking, reason = vocabulary.lacking, vocabulary.drafter.unspellable
    if reason and lacking:
        what = f"{len(lacking):,} of the expert's tokens, such as {show(vocabulary.expert.texts[lacking[0]])}"
        raise CannotPair(
            f"{drafter} lacks {what}, and cannot spell them with tokens of its own: {reason}",
            "use a drafter of the expert's own family",
        )


def show(text: bytes | None) -> str:
    """A token's text for a message."""
    return "none" if text is None else repr(text.decode("utf-8", "replace"))
