"""A server of the tiny pair in a real process, as a user starts it."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60  # seconds; only against hanging
FIXED = ("-k", "4", "--lookup", "off", "--threads", "1")


@dataclass(frozen=True)
class Served:
    """`url` ends in /v1; `log` is what it wrote on stderr."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and wait for its exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(script: str, clean: Mapping[str, str], *flags: str) -> Iterator[Served]:
    """`speccas serve` on a free port, ready to answer."""
    with tempfile.NamedTemporaryFile(suffix=".log") as log:
        command = [script, "serve", "--port", "0", *FIXED, *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(clean))
        try:
            yield Served(url_in(Path(log.name), process), process, Path(log.name))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            process.wait()


def url_in(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Where it says that it listens."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"at (http://\S+/v1)", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"no server: {log.read_text()}")
