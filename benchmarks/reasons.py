"""What reasons of every customer cost beside their scores, in processor seconds.

    uv run python -m benchmarks.reasons OUTPUT --rows 20000

OUTPUT is the folder of a finished run; its customers are repeated up to so many rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flows.services.workspace import Workspace
from models.explaining.reasons import Words, reasons
from models.registry import registry
from models.serving.score import scoring_frame, snapshot_context, stage_late_days


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of a piece of work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    given = parser.parse_args()
    space = Workspace(given.output.absolute())
    archive, loaded = space.archive(), registry.load(space.tracking())
    scorer, at = loaded.scorer, archive.builder.last_snapshot
    frame = scoring_frame(archive, at, late_days=stage_late_days(scorer.parts))
    rows = frame.iloc[np.arange(given.rows) % len(frame)].reset_index(drop=True)
    words = Words.of(archive.builder.spec, scorer.head["stages"], space.config().sensitive)
    context = snapshot_context(loaded, rows)
    reasons(scorer.parts, rows.head(100), context, words)  # what is made once is made
    scored = seconds(lambda: loaded.predict(rows, snapshot_context(loaded, rows)))
    told = seconds(lambda: reasons(scorer.parts, rows, context, words))
    print(f"| rows | scoring, s | reasons of all, s | ratio |\n|{'---:|' * 4}")
    print(f"| {len(rows):,} | {scored:.2f} | {told:.2f} | {told / scored:.2f} |")


if __name__ == "__main__":
    main()
