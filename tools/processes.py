"""Child processes, ports and bounded waits, for the scripts in this folder that run real Envoys and Chancery."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVOY = ROOT / "target" / "tools" / "envoy-1.40.0" / "envoy"

# Seconds for a child to end by itself before it is killed.
STOP_SECONDS = 10


def environment(**variables: str) -> dict[str, str]:
    """The caller's environment without settings of Chancery, and `variables`."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("CHANCERY_")}
    return inherited | variables


class StepFailed(Exception):
    """A failed step, with a message for the terminal."""


class Child:
    """A process with a log file; `stop` ends it even if it hangs."""

    def __init__(self, name: str, command: list[str], log: Path, variables: dict[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "wb") as output:
            try:
                # In a new session, so that Ctrl-C reaches only this script, which then ends the children in order.
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=variables,
                    cwd=ROOT,
                )
            except OSError as error:
                raise StepFailed(f"{name} does not start: {error}") from error

    def check(self) -> None:
        """Fails if the process has ended, with the end of its log."""
        code = self.process.poll()
        if code is not None:
            raise StepFailed(f"{self.name} ended with {code}; the end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The last lines of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join("    " + line for line in text.splitlines()[-lines:])

    def stop(self) -> None:
        """Sends SIGTERM, and SIGKILL if the process does not end."""
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)


def wait_until(what: str, seconds: float, probe: Callable[[], bool], *children: Child) -> None:
    """Returns once `probe` is true; fails if time runs out or one of `children` has ended."""
    deadline = time.monotonic() + seconds
    while not probe():
        for child in children:
            child.check()
        if time.monotonic() > deadline:
            logs = "".join(f"\nThe end of {child.log}:\n{child.tail()}" for child in children)
            raise StepFailed(f"waited {seconds:.0f} s for {what}, which did not happen{logs}")
        time.sleep(0.1)


# Ports that were picked, but are not bound yet.
GIVEN: set[int] = set()


def free_port(preferred: int) -> int:
    """`preferred` if it is free on the loopback, otherwise the next free port. Never an ephemeral port, which the
    system may give to any outgoing connection before the port is bound."""
    for port in range(preferred, 32768):
        if port in GIVEN:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            GIVEN.add(port)
            return port
    raise StepFailed("no free port on 127.0.0.1")


def http_get(url: str) -> tuple[int, str] | None:
    """Status and body, or None without an answer."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return None
