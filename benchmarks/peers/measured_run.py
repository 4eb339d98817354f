"""What every engine of the feature benchmark shares: the case, the clock, and the check sums.

An engine gives frames as ``(snapshot number, customer ids, columns)``. Only the making of a frame
is timed; each is summed up and let go, so that no engine has to hold all of them.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Frame = tuple[int, Any, dict[str, Any]]  # columns: <type>__count_<window>, <type>__sum_<window>
MIX = 1009  # customers weigh differently, so that values of the wrong customer show


def window_name(days: int | None) -> str:
    return "all" if days is None else f"{days}d"


def whole(name: str, values: Any) -> np.ndarray:
    """Counts, and sums in cents, as whole numbers; empty is zero."""
    numbers = np.nan_to_num(np.asarray(values, dtype=np.float64))
    return np.rint(numbers * 100 if "__sum_" in name else numbers).astype(np.int64)


def run(engine: Callable[[dict[str, Any]], Iterator[Frame]], *, cents: bool = False) -> None:
    """Run an engine on the case of the command line and write what it took beside it."""
    case_file, result_file = Path(sys.argv[1]), Path(sys.argv[2])
    case = json.loads(case_file.read_text(encoding="utf-8"))
    checks: dict[str, list[int]] = {}
    rows, seconds, processor = 0, 0.0, 0.0
    frames = engine(case)
    while True:
        start, cpu = time.perf_counter(), time.process_time()
        frame = next(frames, None)
        seconds += time.perf_counter() - start
        processor += time.process_time() - cpu
        if frame is None:
            break
        number, customers, columns = frame
        weight = np.asarray(customers, dtype=np.int64) % MIX
        rows += len(weight)
        for name, values in columns.items():
            made = np.asarray(values, dtype=np.int64) if cents else whole(name, values)
            check = checks.setdefault(f"{number}:{name}", [0, 0])
            check[0] += int(made.sum())
            check[1] += int((made * weight).sum())
        del frame, columns
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {
        "seconds": seconds,
        "processor_seconds": processor,
        "peak_mb": peak,
        "rows": rows,
        "checks": checks,
    }
    result_file.write_text(json.dumps(result), encoding="utf-8")
