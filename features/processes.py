"""Worker processes: several at once, and none that outlives the process that asked."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process


def pool(count: int) -> ProcessPoolExecutor:
    """So many fresh worker processes, which end with the one that asked."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=watched)


def watched() -> None:
    """Begin to watch, in a worker process, the one that asked."""
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this process when its parent has ended, also when the parent was killed."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
