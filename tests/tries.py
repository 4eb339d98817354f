"""How many made-up inputs a property tries."""

from __future__ import annotations

import os

ALL = os.environ.get("STAGECAST_TRIES") == "all"  # the long rounds: .ci/deep


def tries(count: int) -> int:
    """All of them in the long rounds, a third else (three at least).

    Hypothesis draws the same inputs in the same order each time, so the third is the first third.
    """
    return count if ALL else max(min(count, 3), count // 3)
