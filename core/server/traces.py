"""The last answers as traces (docs/traces.md), for whoever wants to look."""

import io
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..record.trace import TraceWriter
from .api_error import ApiError
from .handled import Handled

KEPT = 32  # answers


@dataclass
class Traces:
    """The last `most` answers by id, those that were cut off too; older ones go first."""

    most: int = KEPT
    _kept: OrderedDict[str, Handled] = field(default_factory=OrderedDict)

    def note(self, handled: Handled) -> None:
        if handled.fold.started is not None:
            self._kept[handled.id] = handled
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def text(self, name: str, manifest: Mapping[str, Any]) -> str:
        """The trace of an answer, JSON lines. `manifest`: of any run of the pair; what the request sets is put in.
        Raises ApiError (404) where it is not kept, or not any more."""
        handled = self._kept.get(name)
        if handled is None:
            message = f"there is no answer {name[:80]!r} here; the last {self.most} are kept"
            raise ApiError(404, message, param="id", code="trace_not_found")
        file, fold, question = io.StringIO(), handled.fold, handled.question
        assert question is not None and fold.started is not None
        writer = TraceWriter(file, {**manifest, **question.as_manifest()}, question.prompt)
        writer(fold.started)
        for each in fold.rounds:
            writer(each)
        writer.finished(fold.figures(), fold.finished.tail if fold.finished else "")
        return file.getvalue()
