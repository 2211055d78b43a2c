"""The import of a published file in a process of its own.

TensorFlow of this process stays as it is: workers must connect before its first use, torch's
libraries crash where it was loaded before them, and its memory on a GPU is not shared.

Tested in tests/named/test_import_process.py.
"""

import os
import pathlib
import signal
import subprocess
import sys

from deeplab_tf.errors import DeeplabError, one_line

ERROR = "deeplab-import: error: "
_PROGRAM = """
import sys
sys.path[:] = {path!r}
from deeplab_tf.cli import import_weights
import_weights.run()
"""
"""The program of the process, which finds modules where this one does."""


def import_in_a_process(source: str, path: pathlib.Path, out: pathlib.Path) -> None:
    """Imports the file `path` of `source` into the `.keras` file `out`, as `deeplab-import` does.

    The process computes on the CPU.

    Raises:
        DeeplabError: the command's own error; or the command ended otherwise, and the message says
            with which exit code or by which signal.
    """
    command = [sys.executable, "-c", _PROGRAM.format(path=sys.path)]
    command += [f"--source={source}", f"--weights={path}", f"--out={out}"]
    # This process may hold all memory of the GPUs, and is perhaps one worker of several.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("TF_CONFIG", None)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise DeeplabError(_reason(done.returncode, done.stderr, path))


def _reason(code: int, stderr: str, path: pathlib.Path) -> str:
    """Returns the line of the command's error or, where there is none, how the command ended."""
    lines = stderr.strip().splitlines()
    said = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if said:
        return one_line(said[-1])
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"was ended by signal {names.get(-code, -code)}"
        if -code == 9:
            how += ", as a system does that is out of memory; free memory and try again"
    else:
        how = f"ended with exit code {code}"
        if "Traceback (most recent call last):" in lines:
            how += f" ({one_line(lines[-1])[:200]})"
    return f"the import of {path.name} {how}"
