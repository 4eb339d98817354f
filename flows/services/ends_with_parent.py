"""Run a module as a child process that ends with its parent.

Arguments: the parent's process id, the module, and the module's arguments.

A server that a command starts must also end if the command is killed, its terminal is closed or
the machine runs out of memory. The parent cannot end it then, because its code no longer runs.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time

_POLL_SECONDS = 0.5


def child_command(module: str, *arguments: str) -> list[str]:
    """Command line that runs ``python -m MODULE ARGUMENTS`` as a child that ends with this process.

    Parameters
    ----------
    module
        Module to run, as after ``python -m``.
    arguments
        Arguments of the module.
    """
    return [sys.executable, "-m", __name__, str(os.getpid()), module, *arguments]


def _watch_parent(parent: int) -> None:
    """Start a thread that ends this process as soon as the parent process has ended.

    Linux and macOS give an orphan another parent, so `getppid` changes. The parent passes its own
    id, so that a parent that ended before this call is noticed too.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)  # end all threads: no process needs the result any more


if __name__ == "__main__":
    _watch_parent(int(sys.argv[1]))
    module = sys.argv[2]
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
