"""Asks the fork server for a worker in place of this process; without it, becomes that worker as Ray would start it.

Ray starts this script for each worker with ``python -I -S``, in a hundredth of a second: it imports no package.
"""

import json
import os
import signal
import socket
import sys

READY = b"r"
"""Sent by the server before a request, which is not sent to one that needs too long."""
GRANTED = b"g"
"""Sent by the server after a request: the worker runs."""
_PATIENCE_S = 30.0
"""Longest wait for the fork server to have imported all; Ray waits 60 s for a worker."""


def ask(address: str, argv: list[str]) -> bool:
    """Asks for a worker with the environment, the folder and the streams of this process.

    Args:
        address: Path of the fork server's Unix socket.
        argv: The script of the worker, and its arguments.

    Returns:
        Whether it runs.
    """
    request = {
        "argv": argv,
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "pid": os.getpid(),
        "group": os.getpgid(0),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    }
    text = json.dumps(request).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE_S)
            connection.connect(address)
            if connection.recv(1) != READY:
                return False
            connection.sendall(text[socket.send_fds(connection, [text], [0, 1, 2]) :])
            return connection.recv(1) == GRANTED
    except OSError:  # it has ended, or needs too long
        return False


if __name__ == "__main__" and not ask(sys.argv[1], sys.argv[2:]):
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
