"""Commands as a user calls them, in processes of their own that need not import TensorFlow anew.

They are forked from a process that has imported it: 3 seconds less for each of two hundred. What
depends on the import itself (its variables, its time) is called by `subprocess`.
"""

import contextlib
import functools
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

FORK_SERVER = Path(__file__).with_name("fork_server.py")
_LOCK = threading.Lock()


def call(module: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    """Runs `python -m deeplab_tf.cli.MODULE` with the `arguments`; `options` as of `Command`."""
    return run("-m", f"deeplab_tf.cli.{module}", *arguments, **options)


def run(*python: object, timeout: float | None = None, **options) -> subprocess.CompletedProcess:
    """Runs `python` with these arguments, `-m` or `-c` first, to its end."""
    command = Command(*python, **options)
    out, err = command.communicate(timeout)
    return subprocess.CompletedProcess(command.args, command.returncode, out, err)


class Command:
    """A process that runs `python` with arguments, as `subprocess.Popen` with text on pipes is.

    Args:
        python: the arguments, `-m` or `-c` first.
        env: its environment, by default this process'.
        cwd: its folder, by default this process'.
        stdin: the file descriptor that it reads, by default of an empty file.
    """

    def __init__(
        self, *python: object, env: dict[str, str] | None = None, cwd=None, stdin: int | None = None
    ):
        self.args = [str(part) for part in python]
        self.returncode: int | None = None
        # Closed in `__del__`.
        self._outputs = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115
        order = {"python": self.args, "env": dict(env or os.environ), "cwd": str(cwd or Path.cwd())}
        files = [output.fileno() for output in self._outputs]
        self.pid = _ask(order, files if stdin is None else [*files, stdin])
        self._ended = os.pidfd_open(self.pid)

    def __del__(self):
        for output in self._outputs:
            output.close()

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, minus the signal's number where one ended it."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = _ask(self.pid)
            os.close(self._ended)
        return self.returncode

    def said(self) -> str:
        """What it has written to stdout so far."""
        return os.pread(self._outputs[0].fileno(), 1 << 20, 0).decode()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to stdout and stderr, when it has ended."""
        self.wait(timeout)
        for output in self._outputs:
            output.seek(0)
        out, err = (output.read().decode() for output in self._outputs)
        return out, err

    def send_signal(self, number: int) -> None:
        """Sends a signal to it, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)


def _ask(order: dict | int, files: list[int] | None = None) -> int:
    with _LOCK:
        socket.send_fds(_server(), [pickle.dumps(order)], files or [])
        answer = _server().recv(1 << 10)
    assert answer, "the fork server has ended"
    return pickle.loads(answer)


@functools.cache
def _server() -> socket.socket:
    """One for this process; it ends with the connection."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = its.fileno()
    subprocess.Popen([sys.executable, FORK_SERVER, str(number)], pass_fds=[number])
    its.close()
    return ours
