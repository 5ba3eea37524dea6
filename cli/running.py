"""Time that this process was running: while Ctrl-Z has stopped it, nothing is decoded, and the system's clock goes on.

Nobody is told when a process is stopped, only (by SIGCONT) that it goes on. So something ticks while it runs, and the
time since the last tick is what the stop took.
"""

import threading
import time
from collections.abc import Callable

TICK = 0.1  # seconds between two ticks: a stop is known to within that
LEAST = 3 * TICK  # what is shorter is no stop


class RunningClock:
    """A clock in seconds that stands still while the process is stopped. Safe in threads and in a signal handler."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.stopped = 0.0
        """Seconds that the process was stopped so far."""
        self._ticked = now()
        self._gaps = (0.0, 0.0)
        self._lock = threading.RLock()

    def __call__(self) -> float:
        return self.now() - self.stopped

    def start(self) -> None:
        """Ticks begin now."""
        self._ticked, self._gaps = self.now(), (0.0, 0.0)

    def tick(self) -> None:
        """The process runs. Call it every TICK seconds."""
        with self._lock:
            now = self.now()
            self._gaps, self._ticked = (self._gaps[1], now - self._ticked), now

    def resumed(self) -> None:
        """It was stopped, and runs again; once for each stop, however often it is told. A tick may have come first."""
        with self._lock:
            self.tick()
            gap = max(self._gaps)
            if gap > LEAST:
                self.stopped += gap
                self._gaps = (0.0, 0.0)


RUNNING = RunningClock(time.perf_counter)
"""What the commands of this process are timed by."""
