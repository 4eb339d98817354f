"""Run a module as a child process that ends with its parent.

The arguments are the parent's process id, the module, and its own arguments.

A server that a command starts for itself must not stay behind when the command is killed, when its
terminal is closed, or when its machine is short of memory: no code of the parent runs then.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

_SECONDS_BETWEEN_LOOKS = 0.5


def command(module: str, *arguments: str) -> list[str]:
    """Command line that runs ``python -m MODULE ARGUMENTS`` as a child that ends with this process.

    Parameters
    ----------
    module
        What to run, as after ``python -m``.
    arguments
        Its own arguments.
    """
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]


def watch_parent(parent: int) -> None:
    """Begin to watch the parent process, and end this one at once when the parent has ended.

    An orphan is given to another parent, on Linux and macOS alike. The parent's id comes from the
    parent itself, so that one that ended before this call is noticed, too.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os._exit(1)  # whatever else runs here: nobody is left to answer to


if __name__ == "__main__":
    watch_parent(int(sys.argv[1]))
    module = sys.argv[2]
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
