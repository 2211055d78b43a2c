"""A forked command is a command: its exit code, what it writes, signals, folder and environment."""

import signal
import subprocess
import sys

import pytest

from support.commands import Command, call, run

PROGRAM = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ.get("COLOUR"), __name__)
print("seen", file=sys.stderr)
sys.exit(3)
"""
ENDS = """
import atexit, sys, threading, time
atexit.register(print, "handler")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
sys.exit("in words")
"""
WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
print("waits", flush=True)
time.sleep(60)
"""


def test_it_is_what_a_process_of_its_own_is(tmp_path):
    arguments = ("-c", PROGRAM, "a", "b c")
    env = {"COLOUR": "red", "PATH": ""}
    done = run(*arguments, env=env, cwd=tmp_path)
    plain = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, plain.stdout, "seen\n")


def test_threads_and_exit_handlers_come_to_their_end():
    done = run("-c", ENDS)
    assert (done.returncode, done.stdout, done.stderr) == (1, "thread\nhandler\n", "in words\n")


def test_an_error_ends_it_with_1():
    done = run("-c", "1 / 0")
    assert done.returncode == 1 and done.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 1)])
def test_signals_reach_it(number, code):
    command = Command("-c", WAITS)
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(1)
    assert command.poll() is None
    command.send_signal(number)
    out, err = command.communicate(30)
    assert (command.returncode, out) == (code, "waits\n")
    assert err == ("asked to end\n" if code == 1 else "")


def test_a_binary_has_its_flags_and_no_others():
    needed = {"score": "--predictions, --ground_truth", "eval": "--model"}
    for binary, missing in needed.items():
        done = call(binary)
        said = f"deeplab-{binary}: error: missing {missing} (see deeplab-{binary} --help)\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
