"""Conversations that come back: what the caches of a pair held is kept in memory when another prompt takes their place,
and put back when a prompt goes on from there."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..decoding.drafts.second_model import common_prefix
from ..decoding.snapshot import Snapshot
from ..errors import NativeError
from .pair import Pair

WORTH = 32  # tokens; fewer are read again about as soon as caches are copied
SHARE = (
    4  # of what is held, a part as large as one over this must go before a copy is made: not for an answer asked again
)


@dataclass(frozen=True, slots=True, eq=False)
class SavedCaches:
    """Both caches as they were behind a text."""

    ids: "array[int]"
    """Of the expert's cache."""
    expert: Snapshot
    drafter: Snapshot
    drafts: Snapshot

    @property
    def bytes(self) -> int:
        return self.expert.bytes + self.drafter.bytes + self.drafts.bytes + len(self.ids) * self.ids.itemsize

    def reach(self, ids: "array[int]") -> int:
        """How many of these tokens need not be read where this is put back."""
        return self.expert.reach(common_prefix(self.ids, ids))


@dataclass
class PrefixCache:
    """At most `most` bytes; the least recently used go first. While one text takes another's place, what is put back is
    there once more."""

    most: int
    kept: list[SavedCaches] = field(default_factory=list)
    """The most recently used last."""

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.kept)

    def route(self, pair: Pair, prompt: Sequence[int]) -> None:
        """Before a prompt is read: make the caches hold, of all that was read, what it has most in common with, and
        keep what it would cost."""
        if not self.most:
            return
        ids = array("i", prompt)
        held = array("i", pair.cached[: len(pair.expert)])
        now = min(pair.expert.reach(common_prefix(held, ids)), pair.drafts.reach(prompt))
        best = max(self.kept, key=lambda each: each.reach(ids), default=None)
        if best is not None and best.reach(ids) - now < WORTH:
            best = None
        if best is not None:  # it is in use from now on: as the last, or where it will be longer, in the caches alone
            self.kept.remove(best)
            if lost(best.ids, best.reach(ids)):
                self.kept.append(best)
        if lost(held, now):
            self._keep(pair, held)
        if best is not None:
            put_back(pair, best)

    def _keep(self, pair: Pair, held: "array[int]") -> None:
        """Copy what the caches hold, unless that is kept already or is too much."""
        if any(each.reach(held) >= len(held) for each in self.kept):
            return
        self.kept = [each for each in self.kept if common_prefix(each.ids, held) < len(each.ids)]
        size = pair.expert.snapshot_bytes + pair.drafter.snapshot_bytes
        if size > self.most:
            return
        self._make_room(size)
        drafts = pair.drafts.text()  # a head's cache is rid of its draft by that
        self.kept.append(SavedCaches(held, pair.expert.snapshot(), pair.drafter.snapshot(), drafts))
        self._make_room(0)  # it took a little more than was foreseen

    def _make_room(self, size: int) -> None:
        while self.kept and self.bytes + size > self.most:
            del self.kept[0]


def lost(held: "array[int]", kept: int) -> bool:
    """Whether so much of a text goes that a copy is worth making."""
    gone = len(held) - kept
    return gone >= WORTH and SHARE * gone >= len(held)


def put_back(pair: Pair, kept: SavedCaches) -> None:
    """Make both caches hold what they held; nothing where llama.cpp refuses."""
    try:
        pair.drafter.put_back(kept.drafter)
        pair.drafts.resume(kept.drafts)
        pair.expert.put_back(kept.expert)
        pair.cached = kept.ids.tolist()
    except NativeError:
        pair.clear()
