"""examples/backend.py as a process."""

import signal
import subprocess
import sys

from .process import die_with_us
from .wait import ROOT, TIMEOUT


class Backend:
    """The example backend on a Redis. It is consuming by the time the constructor returns."""

    def __init__(self, url, name="one"):
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples/backend.py"), "--redis", url, "--name", name],
            stdout=subprocess.PIPE, text=True, preexec_fn=die_with_us)
        self.expect("consumes push:requests")

    def expect(self, part):
        """Reads up to the next line that contains `part`."""
        for line in self.process.stdout:
            if part in line:
                return
        raise AssertionError(f"the backend ended without: {part}")

    def stop(self):
        """Suspends the process."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self, number=signal.SIGKILL):
        """Sends a signal unless the process has ended; returns its exit status."""
        self.process.send_signal(number)
        self.go_on()
        status = self.process.wait(TIMEOUT)
        self.process.stdout.close()
        return status
