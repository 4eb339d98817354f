"""What the peers of the feature benchmark share: the case, its columns, and the files they write.

An engine gives ``(snapshot number, function that writes its frame to a path)``, one at a time.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Frame = tuple[int, Callable[[str], Any]]


def window_name(days: int | None) -> str:
    return "all" if days is None else f"{days}d"


def facts(case: dict[str, Any], kind: str) -> tuple[str, ...]:
    """What the product computes of an event type: counts, and sums where it has amounts."""
    return ("count", "sum") if kind in case["money_types"] else ("count",)


def run(engine: Callable[[dict[str, Any]], Iterator[Frame]]) -> None:
    """Run an engine on the case of the command line; write each frame to a parquet file."""
    case = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for number, write in engine(case):
        write(f"{case['output']}/{number}.parquet")
