"""How a tokenizer writes bytes and puts characters together: by rank (BPE), or by the score of what they make
(SentencePiece). On texts of a few characters, so plain loops do.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise


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


def from_letters(text: bytes) -> bytes:
    """The bytes that a token of byte-level BPE is written for; itself where it is no row of such letters."""
    if text.isascii():  # each such letter is the letter of its own byte, or of none
        return text
    try:
        return text.decode("utf-8", "replace").translate(_LATIN).encode("latin-1")
    except UnicodeEncodeError:
        return text


def by_rank(parts: list[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Merge neighbours, the pair of the lowest rank first, the left one of equals."""
    for _ in merged(parts, ranks):
        pass
    return parts


def merged(parts: list[str], ranks: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Merge as `by_rank`, in `parts` itself; yields what each merge makes."""
    while len(parts) > 1:
        rank, at = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(pairwise(parts)))
        if rank == len(ranks):
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        yield parts[at]


def by_score(parts: list[str], score: Callable[[str], float | None]) -> list[str]:
    """Merge neighbours, the pair that makes the token of the highest score first, the left one of equals; `score` is
    None for what is no token (llm_tokenizer_spm_session of llama-vocab.cpp)."""
    while len(parts) > 1:
        scores = ((score(left + right), -i) for i, (left, right) in enumerate(pairwise(parts)))
        best = max(((each, i) for each, i in scores if each is not None), default=None)
        if best is None:
            break
        at = -best[1]
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def characters(data: bytes) -> list[str]:
    """Characters as SentencePiece has them, a blank as U+2581; a byte that is part of none stands as a surrogate."""
    return list(data.decode("utf-8", "surrogateescape").replace(" ", "\u2581"))
