"""Named points between two writes, at which a harness can end the process as a power cut would.

``STAGECAST_FAULT=NAME`` or ``NAME:3`` ends it the first or third time that it gets there; without
the variable a point costs one comparison. ``benchmarks/faults.py`` uses them on every flow.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "STAGECAST_FAULT"


def dying_at(where: str) -> Callable[[str], None]:
    """What ends this process at once, cleaning nothing up, at a point (``NAME`` or ``NAME:N``)."""
    name, _, number = where.rpartition(":")
    if not number.isdigit():
        name, number = where, "1"
    left = [int(number)]

    def reached(at: str) -> None:
        if at == name:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return reached


# What happens at a point; None: nothing. A harness in the same process may put its own here.
at_boundary: Callable[[str], None] | None = (
    dying_at(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
)


def boundary(name: str) -> None:
    """Name a point between two writes."""
    if at_boundary is not None:
        at_boundary(name)
