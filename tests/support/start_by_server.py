"""A program that stands for a process of another one's making, and ends as that one ends.

    python start_by_server.py SOCKET NAME

It tells the server at the Unix socket its name, gets the exit code when that process has ended
(minus the signal's number where one killed it), and passes SIGTERM on by closing the connection.
"""

import os
import signal
import socket
import sys


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(sys.argv[1])
        server.sendall(sys.argv[2].encode())
        answer = server.recv(16)
    code = int(answer or b"1")
    if code < 0:
        if -code != signal.SIGKILL:  # which has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()
