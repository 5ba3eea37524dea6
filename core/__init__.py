"""The speccas library: what a program needs to load a pair and to run it. No printing, no flags.

Names are imported when they are first asked for, so that `import speccas.core` costs nothing. docs/library.md shows
how they go together.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calibration.planner import Planner as Planner
    from .calibration.planner import Wanted as Wanted
    from .conversation.template import Message as Message
    from .decoding.arms import Arm as Arm
    from .decoding.arms import every_arm as every_arm
    from .decoding.arms import parse_arm as parse_arm
    from .decoding.deferral import Rule as Rule
    from .decoding.drafts.draft_source import Draft as Draft
    from .decoding.drafts.draft_source import DraftSource as DraftSource
    from .decoding.drafts.draft_source import Drawing as Drawing
    from .decoding.drafts.draft_source import ExpertRead as ExpertRead
    from .decoding.drafts.draft_source import Proposal as Proposal
    from .decoding.events import Drafted as Drafted
    from .decoding.events import Finish as Finish
    from .decoding.events import Finished as Finished
    from .decoding.events import Judged as Judged
    from .decoding.events import Started as Started
    from .decoding.events import Status as Status
    from .decoding.events import Token as Token
    from .decoding.length.policy import Policy as Policy
    from .decoding.model import LanguageModel as LanguageModel
    from .decoding.penalty import Penalty as Penalty
    from .decoding.rules import RULES as RULES
    from .decoding.sampling import Distribution as Distribution
    from .decoding.sampling import Sampling as Sampling
    from .errors import AccessRefused as AccessRefused
    from .errors import CannotPair as CannotPair
    from .errors import DoesNotFit as DoesNotFit
    from .errors import IntegrityError as IntegrityError
    from .errors import NativeError as NativeError
    from .errors import SpeccasError as SpeccasError
    from .errors import Stopped as Stopped
    from .errors import Unavailable as Unavailable
    from .errors import UsageError as UsageError
    from .files.profiles import Profile as Profile
    from .files.profiles import find_profile as find_profile
    from .files.source import Source as Source
    from .files.source import parse_source as parse_source
    from .record.metrics import Figures as Figures
    from .record.metrics import Fold as Fold
    from .runtime.backend import Backend as Backend
    from .runtime.backend import Context as Context
    from .runtime.backend import LoadOptions as LoadOptions
    from .runtime.backend import ModelFile as ModelFile
    from .runtime.backend import Weights as Weights
    from .runtime.backends import BACKENDS as BACKENDS
    from .runtime.generate import Drafting as Drafting
    from .runtime.generate import FixedDrafting as FixedDrafting
    from .runtime.generate import Length as Length
    from .runtime.generate import PromptRead as PromptRead
    from .runtime.generate import generate as generate
    from .runtime.generate import read_prompt as read_prompt
    from .runtime.pair import Pair as Pair
    from .runtime.pair import load_pair as load_pair
    from .runtime.prompt import Prompt as Prompt
    from .runtime.prompt import prompt_of as prompt_of
    from .runtime.stop import StopFlag as StopFlag
    from .session import Asking as Asking
    from .session import Session as Session

_MODULES = {
    "calibration.planner": "Planner Wanted",
    "conversation.template": "Message",
    "decoding.arms": "Arm every_arm parse_arm",
    "decoding.drafts.draft_source": "Draft DraftSource Drawing ExpertRead Proposal",
    "decoding.events": "Drafted Finish Finished Judged Started Status Token",
    "decoding.length.policy": "Policy",
    "decoding.model": "LanguageModel",
    "decoding.penalty": "Penalty",
    "decoding.rules": "RULES Rule",
    "decoding.sampling": "Distribution Sampling",
    "errors": "AccessRefused CannotPair DoesNotFit IntegrityError NativeError SpeccasError "
    "Stopped Unavailable UsageError",
    "files.profiles": "Profile find_profile",
    "files.source": "Source parse_source",
    "record.metrics": "Figures Fold",
    "runtime.backend": "Backend Context LoadOptions ModelFile Weights",
    "runtime.backends": "BACKENDS",
    "runtime.generate": "Drafting FixedDrafting Length PromptRead generate read_prompt",
    "runtime.pair": "Pair load_pair",
    "runtime.prompt": "Prompt prompt_of",
    "runtime.stop": "StopFlag",
    "session": "Asking Session",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}
__all__ = [
    "BACKENDS",
    "RULES",
    "AccessRefused",
    "Arm",
    "Asking",
    "Backend",
    "CannotPair",
    "Context",
    "Distribution",
    "DoesNotFit",
    "Draft",
    "DraftSource",
    "Drafted",
    "Drafting",
    "Drawing",
    "ExpertRead",
    "Figures",
    "Finish",
    "Finished",
    "FixedDrafting",
    "Fold",
    "IntegrityError",
    "Judged",
    "LanguageModel",
    "Length",
    "LoadOptions",
    "Message",
    "ModelFile",
    "NativeError",
    "Pair",
    "Penalty",
    "Planner",
    "Policy",
    "Profile",
    "Prompt",
    "PromptRead",
    "Proposal",
    "Rule",
    "Sampling",
    "Session",
    "Source",
    "SpeccasError",
    "Started",
    "Status",
    "StopFlag",
    "Stopped",
    "Token",
    "Unavailable",
    "UsageError",
    "Wanted",
    "Weights",
    "every_arm",
    "find_profile",
    "generate",
    "load_pair",
    "parse_arm",
    "parse_source",
    "prompt_of",
    "read_prompt",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"speccas.core has no {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
