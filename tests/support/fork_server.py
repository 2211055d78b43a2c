"""The process that `support.commands` forks commands from: it has imported TensorFlow, and waits.

    python fork_server.py FILE_DESCRIPTOR

TensorFlow's runtime begins with its first operation, in the forked process. Modules that define
flags are not imported here: each command has its own.

A command that returns or raises `SystemExit` waits for its threads, runs its exit handlers and
flushes its output. It does not take TensorFlow's modules apart after that, as an interpreter does:
every page that it wrote to would be copied first, one second for each command.
"""

import atexit
import gc
import os
import pickle
import runpy
import signal
import socket
import sys
import threading
import types

import ai_edge_litert.interpreter  # noqa: F401
import keras  # noqa: F401
import tensorflow as tf  # noqa: F401

import deeplab_tf.inference.predictor
import deeplab_tf.training.loop  # noqa: F401

LARGEST_ORDER = 1 << 17


def serve(connection: socket.socket) -> None:
    """Forks what is ordered and waits for what has ended, until the other side closes.

    An order is a dict of `python` (an interpreter's arguments), `env` and `cwd`, and comes with the
    file descriptors of stdout, stderr and, unless it is empty, stdin; the answer is the process'
    id. Or it is such an id of a process that has ended, and the answer its exit code.
    """
    while True:
        content, files, _, _ = socket.recv_fds(connection, LARGEST_ORDER, 3)
        if not content:
            return
        order = pickle.loads(content)
        if isinstance(order, int):
            status = os.waitpid(order, 0)[1]
            connection.send(pickle.dumps(os.waitstatus_to_exitcode(status)))
            continue
        child = os.fork()
        if child == 0:
            connection.close()
            end(become(order, files))
        for file in files:
            os.close(file)
        connection.send(pickle.dumps(child))


def become(order: dict, files: list[int]) -> int:
    """Does what `python` with these arguments does; returns its exit code."""
    out, err, *given = files
    for number, file in enumerate([*(given or [os.open(os.devnull, os.O_RDONLY)]), out, err]):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    kind, what, *arguments = order["python"]
    sys.path[0] = "" if kind == "-c" else os.getcwd()
    sys.argv = [kind, *arguments]
    try:
        if kind == "-c":
            main = types.ModuleType("__main__")
            sys.modules["__main__"] = main
            exec(compile(what, "<string>", "exec"), main.__dict__)
        else:
            runpy.run_module(what, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    return 0


def end(code: int) -> None:
    """Ends the process as an interpreter does, up to the order in which it does it."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    gc.freeze()  # a garbage collection of the forked process copies no page of what is imported
    serve(socket.socket(fileno=int(sys.argv[1])))
