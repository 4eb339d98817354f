"""Fault injection: named points between writes at which a test can kill the process.

``STAGECAST_FAULT=NAME`` or ``NAME:3`` kills it at the first or third pass; without the variable
a point costs one comparison. ``benchmarks/faults.py`` uses them on every flow.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "STAGECAST_FAULT"


def dying_at(where: str) -> Callable[[str], None]:
    """Return a callback that kills this process at a point (``NAME`` or ``NAME:N``)."""
    boundary_name, _, number = where.rpartition(":")
    if not number.isdecimal():
        boundary_name, number = where, "1"
    remaining = [int(number)]

    def reached(name: str) -> None:
        if name == boundary_name:
            remaining[0] -= 1
            if remaining[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


# Called at every point; None: nothing happens. Tests may set their own callback.
at_boundary: Callable[[str], None] | None = (
    dying_at(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
)


def boundary(name: str) -> None:
    """Mark a named point between two writes."""
    if at_boundary is not None:
        at_boundary(name)
