"""The drafter's tokens in terms of the expert's, as data: which ones are shared, and how the others are spelled.

Reads two GGUF headers; knows nothing of llama.cpp, of logits or of rules.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..decoding.sampling import Shared
from ..errors import CannotPair, IntegrityError
from .gguf import Header, StringArray

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # llama.h: enum llama_token_type

TEXT_ENDS = (b"<|endoftext|>", b"<|end_of_text|>", b"<eos>", b"</s>")
"""Texts of an EOS token that ends a document: a model with turns has another token for those, if only in some files."""
TURN_ENDS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>")
"""What llama.cpp takes for the end of a turn where the header names none (llama-vocab.cpp)."""
TURN_STARTS = ("<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "<|turn>", "<|start_of_role|>", "<|start|>")
"""No header names the token that starts a turn: these are the texts of the families that have one."""

LEAST_SHARE = 0.2  # of the drafter's tokens; below it a drafter can say next to nothing that the expert could


class Relation(StrEnum):
    """How two vocabularies relate (docs/pairs.md)."""

    IDENTICAL = "identical"
    PADDED = "padded"
    SUBSET = "subset"
    OVERLAPPING = "overlapping"


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable letter for each byte (bytes_to_unicode in its encoder.py)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        letters.setdefault(byte, chr(256 + len(letters) - len(plain)))
    return letters


LETTER = _byte_letters()
BYTE_OF = {letter: byte for byte, letter in LETTER.items()}


class _Latin(dict[int, str]):
    """For str.translate: each letter to the Latin-1 character of its byte, any other to one that Latin-1 lacks."""

    def __missing__(self, letter: int) -> str:
        return "\uffff"


_LATIN = _Latin({ord(letter): chr(byte) for letter, byte in BYTE_OF.items()})


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

    @classmethod
    def of(cls, header: Header) -> "Tokens":
        texts = header.get("tokenizer.ggml.tokens", StringArray, None)
        if texts is None:
            raise CannotPair("the file holds no vocabulary", "give a GGUF of a language model")
        types = header.metadata.get("tokenizer.ggml.token_type")
        if isinstance(types, array) and len(types) != len(texts):
            raise IntegrityError(f"the header names {len(texts)} tokens but {len(types)} token types")
        return cls(
            header.get("tokenizer.ggml.model", str, ""),
            header.get("tokenizer.ggml.pre", str, ""),
            texts,
            array("q", map(int, types)) if isinstance(types, array) else None,
            header.get("tokenizer.ggml.merges", StringArray, None),
            *(header.get(f"tokenizer.ggml.{kind}_token_id", int, -1) for kind in ("eos", "eot")),
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
            if text.isascii():  # each such letter is the letter of its own byte, or of none
                return text
            try:
                return text.decode("utf-8", "replace").translate(_LATIN).encode("latin-1")
            except UnicodeEncodeError:
                return text
        if self.model != "gpt2" and kind == BYTE:
            return bytes([int(text[3:5], 16)])
        if self.model != "gpt2" and kind == NORMAL:
            return text.replace("▁".encode(), b" ")
        return text

    @cached_property
    def index(self) -> dict[tuple[bytes, bool], int]:
        """Token by what it stands for and whether it is a control token; the first of equals."""
        found: dict[tuple[bytes, bool], int] = {}
        for token in range(len(self)):
            found.setdefault((self.stands_for(token), self.type(token) == CONTROL), token)
        return found

    def control(self, texts: Sequence[str]) -> int:
        """The first control token with one of these texts; -1 where there is none."""
        return next((self.index[key] for text in texts if (key := (text.encode(), True)) in self.index), -1)

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

    def spell(self, data: bytes) -> list[int]:
        """Ids of raw bytes under this tokenizer's merges. Never fails on half a character, unlike llama_tokenize.

        A byte that the vocabulary has no token for is left out: the drafter then reads around it.
        Raises CannotPair where the vocabulary is not byte-level BPE.
        """
        if self.model != "gpt2" or self.merges is None:
            raise CannotPair("the drafter's tokenizer is not byte-level BPE", "use another drafter")
        parts = [LETTER[byte] for byte in data]
        while len(parts) > 1:
            rank, at = min((self.ranks.get(pair, len(self.ranks)), i) for i, pair in enumerate(pairwise(parts)))
            if rank == len(self.ranks):
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        words = [bytes(BYTE_OF[letter] for letter in part) for part in parts]
        ids: list[int] = []
        for word in words:  # a merge may lead to what is no token: its bytes are, as in llama.cpp
            known = self.index.get((word, False))
            singles = (self.index.get((bytes([byte]), False)) for byte in word)
            ids += [token for token in singles if token is not None] if known is None else [known]
        return ids


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
        for token in range(max(len(left), len(right))):
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
        if drafter.texts[:common] == expert.texts[:common]:
            shared = Shared(len(expert), common, whole=len(drafter) <= len(expert))
            return VocabularyMap(Relation.PADDED, shared, drafter, expert, common / len(drafter))
    found: dict[int, int] = {}  # expert's id -> drafter's; of two drafter tokens with the same bytes the first
    for token in range(len(drafter)):
        same = expert.index.get((drafter.stands_for(token), drafter.type(token) == CONTROL))
        if same is not None:
            found.setdefault(same, token)
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


def require_pair(vocabulary: VocabularyMap, drafter: str, expert: str) -> None:
    """Raises CannotPair, with the first differing tokens, where drafts could hardly ever be the expert's tokens."""
    shared = vocabulary.shared
    if shared is None:
        return
    end = vocabulary.expert.turn_end
    mapped = shared.entry is None or end < 0 or int(shared.entry[end]) >= 0
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
    vocabulary.drafter.spell(b"a")  # raises now rather than in the middle of an answer


def show(text: bytes | None) -> str:
    """A token's text for a message."""
    return "none" if text is None else repr(text.decode("utf-8", "replace"))
