"""The process that workers are forked from: it has loaded torch and run nothing with it.

Workers so start in milliseconds and share the pages of what is loaded. `main(fd)` reads requests from a
socket: each brings the socket of a new worker. When the socket closes, because
the run ended or was killed, every worker is killed and the nursery ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import struct
import sys

STATUS = struct.Struct("<ii")  # pid of a worker that ended, and its wait status


def main(fd: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # the main process's to handle: it finishes its round with us
        signal.signal(number, signal.SIG_IGN)
    from disue.engine import lean, stacked  # noqa: F401  what most workers need, so that they share its pages
    from disue.engine.native import backend  # noqa: F401
    from disue.engine.pool import worker  # loads torch

    gc.collect()
    gc.freeze()  # a worker's own collections would write to, and so copy, the pages of what is loaded
    door = socket.socket(fileno=fd)
    children: set[int] = set()
    waker, bell = socket.socketpair()
    bell.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    try:
        while True:
            ready, _, _ = select.select([door, waker], [], [])
            if waker in ready:
                waker.recv(4096)
                _reap(door, children)
            if door in ready:
                found, fds, _, _ = socket.recv_fds(door, 1, 1)
                if not found:
                    return
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for other in (door, waker, bell):
                        other.close()
                    _die_with_parent()
                    worker.main(fds[0])
                    os._exit(0)
                os.close(fds[0])
                children.add(pid)
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _reap(door: socket.socket, children: set[int]) -> None:
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.discard(pid)
            with contextlib.suppress(OSError):
                door.sendall(STATUS.pack(pid, status))


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
