"""A small shell with job control, on the terminal that it is started on: `python -m tests.builders.job_shell SECONDS`.

It knows `job ARGUMENTS` (the command line `speccas`, in this interpreter, so that nothing is imported twice), `fg` and
`exit`. After a stop and after an end it says what it found: the terminal's modes must be its own, as behind any program
that a real shell starts. The pair `table:drafter`, `table:expert` takes SECONDS for a call of either model.
"""

import os
import shlex
import signal
import sys
import termios
import time

from speccas.cli.chat import input as _input  # noqa: F401  all that a chat imports is here before it begins
from speccas.cli.chat import loop as _loop  # noqa: F401
from speccas.core.decoding.table import TableModel
from speccas.core.runtime.backends import BACKENDS
from tests.builders.table_backend import TableBackend

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
            sys.argv = ["speccas", *arguments]
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


def main() -> None:
    BACKENDS["table"] = TableBackend
    pause, extend = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0, TableModel.extend

    def slow(self: TableModel, *arguments: object) -> object:
        time.sleep(pause)
        return extend(self, *arguments)  # type: ignore[arg-type]

    TableModel.extend = slow  # type: ignore[method-assign, assignment]
    JobShell().loop()


if __name__ == "__main__":
    main()
