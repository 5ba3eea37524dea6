"""A small shell with job control, on the terminal that it is started on: `python -m tests.builders.job_shell SECONDS`.

It knows `job NAME=VALUE.. ARGUMENTS` (speccas itself, in this interpreter, so that nothing is imported twice), `fg`
and `exit`. After a stop and after an end it says what it found: the terminal's modes must be its own, as behind any
program that a real shell starts. The pair `table:drafter`, `table:expert` takes SECONDS to judge a draft.
"""

import os
import resource
import shlex
import signal
import sys
import termios
import time
from collections.abc import Callable, Sequence
from itertools import takewhile

from speccas.cli.chat import input as _input  # noqa: F401  all that a chat imports is here before it begins
from speccas.cli.chat import loop as _loop  # noqa: F401
from speccas.core.decoding.sampling import Floats
from speccas.core.decoding.table import TableModel
from speccas.core.errors import Stopped
from speccas.core.runtime.backend import ModelFile
from speccas.core.runtime.backends import BACKENDS
from speccas.core.runtime.stop import StopFlag
from tests.builders.table_backend import TableBackend, TableWeights

PROMPT = "job shell> "
QUIET = (signal.SIGINT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGQUIT)


class JobShell:
    """One job at a time."""

    def __init__(self) -> None:
        for number in QUIET:
            signal.signal(number, signal.SIG_IGN)
        self.modes = termios.tcgetattr(0)
        self.job = 0

    def start(self, arguments: list[str]) -> str:
        """Begin a job; how it came back."""
        self.job = os.fork()
        if self.job == 0:
            os.setpgid(0, 0)
            os.tcsetpgrp(0, os.getpid())
            for number in QUIET:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            given = list(takewhile(lambda each: "=" in each, arguments))
            os.environ.update({each.partition("=")[0]: each.partition("=")[2] for each in given})
            if "FULL=1" in given:  # no file of this job can grow, as on a disk without space
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            sys.argv = ["speccas", *arguments[len(given) :]]
            from speccas.cli.start import main

            main()
        return self.wait()

    def go_on(self) -> str:
        """Bring the stopped job to the foreground."""
        os.tcsetpgrp(0, self.job)
        os.killpg(self.job, signal.SIGCONT)
        return self.wait()

    def wait(self) -> str:
        """Until the job has stopped or ended; the terminal is the shell's then."""
        _, status = os.waitpid(self.job, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        found = termios.tcgetattr(0)
        termios.tcsetattr(0, termios.TCSANOW, self.modes)
        sane = "sane" if found == self.modes else f"torn {found}"
        if os.WIFSTOPPED(status):
            return f"stopped, {sane}"
        return f"ended with {os.waitstatus_to_exitcode(status)}, {sane}"

    def loop(self) -> None:
        while True:
            sys.stdout.write(PROMPT)
            sys.stdout.flush()
            word, *rest = shlex.split(sys.stdin.readline()) or [""]
            if word == "exit":
                return
            told = self.start(rest) if word == "job" else self.go_on()
            print(f"[{told}]", flush=True)


class StoppableTables(TableBackend):
    """Tables that a stop flag stops before a call, as it does llama.cpp in one; judging a draft takes its time."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        extend = TableModel.extend

        def slow(model: TableModel, ids: Sequence[int], rows: int = 1) -> Floats:
            time.sleep(pause * (rows > 1))
            if self.stop:
                raise Stopped("stopped")
            return extend(model, ids, rows)

        TableModel.extend = slow  # type: ignore[method-assign, assignment]

    def load(
        self, file: ModelFile, gpu_layers: int, stop: StopFlag, on_load: Callable[[float], None] | None
    ) -> TableWeights:
        self.stop = stop
        return super().load(file, gpu_layers, stop, on_load)


def main() -> None:
    tables = StoppableTables(float(sys.argv[1]))
    BACKENDS["table"] = lambda: tables
    JobShell().loop()


if __name__ == "__main__":
    main()
