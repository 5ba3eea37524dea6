"""Every error a user can meet, with its exit code.

An error carries its facts. A hint that takes a flag or a command is the command line's (cli/hints.py).

SpeccasError                 1    failure
├── UsageError               2    unknown rule, pair or value, missing path, empty prompt
│   ├── PromptTooLong        2    no token of an answer fits behind it
│   ├── UnknownRule          2    no rule or baseline of that name
│   ├── NoDial               2    a rule that takes no alpha was given one; fact: rule
│   ├── BlockRefused         2    block verification cannot judge these drafts
│   ├── BudgetRefused        2    nothing can keep to a budget here
│   ├── ServerRefuses        2    what an expert's server tells is too little; fact: sent, how many of a row it tells
│   ├── NameTaken            2    another pair has that name
│   ├── TemplateRefused      2    the chat template refuses the conversation
│   ├── NotSaid              2    a message would not reach the model
│   └── NoThinking           2    the chat template has no switch for thinking
├── Unavailable              3    needs the network or an extra that is not there
│   ├── NotInstalled         3    a Python package is missing; facts: extra (of speccas) or package, and other
│   ├── NotPulled            3    a model of a hub is not on this machine; fact: pull
│   ├── NoRpc                3    llama.cpp was built without RPC
│   ├── NoWorker             3    nothing listens where a worker should; fact: address
│   └── ExpertLost           3    the expert elsewhere does not answer; the answer so far stands
│       ├── WorkerLost       3    a worker went away while it was used; fact: gone, the addresses that are not there
│       ├── WrongAnswer      1    it answered what cannot be right
│       └── RequestRefused   1    it refused a request; facts: status, and setup: how to start it instead
├── AccessRefused            4    gated, private, wrong token
├── IntegrityError           5    wrong hash, or not a whole readable GGUF
│   ├── NotATrace            5    the file is no trace
│   ├── NotASession          5    the file is no saved conversation
│   └── TemplateBroken       5    the chat template cannot be rendered
├── DoesNotFit               6    not enough memory or disk; fact: context, the largest that fits
│   └── DiskFull             6    no room for a download
├── CannotPair               7    the two models cannot work together, or one is no language model
├── NativeError              1    llama.cpp refused a call (its log is in the message)
├── ContextFull              1    no room left for a token; the engine turns it into finish "context"
├── RollbackRefused          1    llama.cpp would not take tokens back
├── NotSent                  1    a probability that the expert's server did not send
└── Stopped                130    asked to stop (Ctrl-C); caches hold what they say they hold

The same numbers stand in the help and in docs/json.md; 70 (native crash) and 143 (SIGTERM) are given by the
process itself, in `cli/guard.py`.
"""

from typing import Any


class SpeccasError(Exception):
    """One clear line for the user, a hint that says what to do, and facts by name."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts


class UsageError(SpeccasError):
    exit_code = 2


class PromptTooLong(UsageError):
    pass


class UnknownRule(UsageError):
    pass


class NoDial(UsageError):
    pass


class BlockRefused(UsageError):
    pass


class BudgetRefused(UsageError):
    pass


class ServerRefuses(UsageError):
    pass


class NameTaken(UsageError):
    pass


class TemplateRefused(UsageError):
    pass


class NotSaid(UsageError):
    pass


class NoThinking(UsageError):
    pass


class Unavailable(SpeccasError):
    exit_code = 3


class NotInstalled(Unavailable):
    """`other`: what helps besides an installation, as a clause."""


class NotPulled(Unavailable):
    pass


class NoRpc(Unavailable):
    pass


class NoWorker(Unavailable):
    pass


class ExpertLost(Unavailable):
    pass


class WorkerLost(ExpertLost):
    pass


class WrongAnswer(ExpertLost):
    exit_code = 1


class RequestRefused(ExpertLost):
    exit_code = 1


class AccessRefused(SpeccasError):
    exit_code = 4


class IntegrityError(SpeccasError):
    exit_code = 5


class NotATrace(IntegrityError):
    pass


class NotASession(IntegrityError):
    pass


class TemplateBroken(IntegrityError):
    pass


class DoesNotFit(SpeccasError):
    exit_code = 6


class DiskFull(DoesNotFit):
    pass


class CannotPair(SpeccasError):
    exit_code = 7


class NativeError(SpeccasError):
    pass


class ContextFull(SpeccasError):
    pass


class RollbackRefused(SpeccasError):
    pass


class NotSent(SpeccasError):
    pass


class Stopped(SpeccasError):
    exit_code = 130
