"""Every error a user can meet, with its exit code. Knows nothing of what raises it or how it is shown.

SpeccasError                 1    failure
├── UsageError               2    unknown rule, pair or value, missing path, empty prompt
│   └── PromptTooLong        2    no token of an answer fits behind it
├── Unavailable              3    needs the network or an extra that is not there
├── AccessRefused            4    gated, private, wrong token
├── IntegrityError           5    wrong hash, or not a whole readable GGUF
├── DoesNotFit               6    not enough memory or disk
├── CannotPair               7    the two models cannot work together, or one is no language model
├── NativeError              1    llama.cpp refused a call (its log is in the message)
├── ContextFull              1    no room left for a token; the engine turns it into finish "context"
├── RollbackRefused          1    llama.cpp would not take tokens back
└── Stopped                130    asked to stop (Ctrl-C); caches hold what they say they hold

The same numbers stand in `--help` and the README; 70 (native crash) and 143 (SIGTERM) are given by the
process itself, in `cli/guard.py`.
"""


class SpeccasError(Exception):
    """One clear line for the user, and a hint that says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SpeccasError):
    exit_code = 2


class PromptTooLong(UsageError):
    pass


class Unavailable(SpeccasError):
    exit_code = 3


class AccessRefused(SpeccasError):
    exit_code = 4


class IntegrityError(SpeccasError):
    exit_code = 5


class DoesNotFit(SpeccasError):
    exit_code = 6


class CannotPair(SpeccasError):
    exit_code = 7


class NativeError(SpeccasError):
    pass


class ContextFull(SpeccasError):
    pass


class RollbackRefused(SpeccasError):
    pass


class Stopped(SpeccasError):
    exit_code = 130
