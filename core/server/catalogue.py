"""What a pair's models are called: `PAIR` writes only what the expert would, `PAIR:RULE[:ALPHA]` is under a rule."""

from dataclasses import dataclass
from typing import Any

from ..decoding.arms import Arm, parse_arm
from ..errors import UsageError
from .api_error import ApiError

PLAIN = "exact"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The names of one pair's models. `rules`: those that are listed beside the plain one."""

    pair: str
    created: int
    """Unix time, as OpenAI's listing has it."""
    rules: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Those that are listed; every rule has a name."""
        return list(dict.fromkeys([self.pair, *(self.name_of(parse_arm(rule)) for rule in self.rules)]))

    def name_of(self, arm: Arm) -> str:
        return self.pair if arm.name == PLAIN else f"{self.pair}:{arm.name}"

    def arm(self, name: str) -> Arm:
        """What a model's name means. Raises ApiError (404) that says what there is."""
        if name == self.pair:
            return parse_arm(PLAIN)
        there = f"there are {', '.join(self.names)}, and {self.pair}:RULE for every rule"
        if not name.startswith(f"{self.pair}:"):
            raise ApiError(404, f"there is no model {name!r}: {there}", param="model", code="model_not_found")
        try:
            return parse_arm(name.removeprefix(f"{self.pair}:"))
        except UsageError as error:
            message = f"there is no model {name!r}: {error.message}; {there}"
            raise ApiError(404, message, param="model", code="model_not_found") from None

    def entry(self, name: str) -> dict[str, Any]:
        """A model as the listing has it, and whether it writes only what the expert would."""
        arm = self.arm(name)
        about = {"rule": arm.name, "lossless": arm.lossless()}
        return {"id": name, "object": "model", "created": self.created, "owned_by": "speccas", "speccas": about}

    def listing(self) -> dict[str, Any]:
        return {"object": "list", "data": [self.entry(name) for name in self.names]}
