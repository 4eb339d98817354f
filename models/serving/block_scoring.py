"""Score customers block by block in worker processes, if the tallies of all exceed memory.

Two passes over the blocks: the first builds features and adds up the population statistics and the
scoring context; the second predicts with both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from features import processes
from features.progress import Told, unheard
from features.storage.runs import write_parquet
from features.table.customer_partitions import Blocks
from features.table.families.feature import View
from features.table.feature_store import read_features
from features.table.population_statistics import Everybody, sums
from features.table.snapshot_builder import Builder
from models.registry.registry import Loaded
from models.scorer.scoring_context import add_sums
from models.serving.batches import batch_sums, cached_scorer, context_from_sums, split_batches
from models.serving.score import RowFinisher, add_late_features, scoring_frame, stage_late_days


@dataclass(frozen=True)
class _BlockScores:
    """Number of scored customers, the scoring context, and the population statistics."""

    customers: int
    context: dict[str, Any]
    everybody: Everybody


@dataclass(frozen=True)
class _Block:
    """Feature frames of a block by reporting delay in days, and the builder of the block."""

    builder: Builder
    frames: Mapping[int, pd.DataFrame]

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot."""
        return self.frames[0]

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind."""
        return self.frames[delay]


def score_by_blocks(
    loaded: Loaded,
    blocks: Blocks,
    day: int,
    finish: RowFinisher,
    *,
    into: Path,
    progress: Told = unheard,
) -> _BlockScores:
    """Write the rows that `models.serving.score.score_snapshot` would return, block by block.

    Parameters
    ----------
    loaded
        The scorer.
    blocks
        Stored tallies.
    day
        Day number of the snapshot.
    finish
        Completes scored rows.
    into
        Folder for the parquet files, one per block.
    progress
        Called with the number of blocks built, and scored.
    """
    scorer, late_days = (
        (loaded.folder, loaded.version.version),
        stage_late_days(loaded.scorer.parts),
    )
    with processes.pool(blocks.builder.config.threads) as pool:

        def run_on_blocks(
            activity: str, work: Callable[..., Any], extra_arguments: Callable[[int], Any]
        ) -> list[Any]:
            progress(activity, 0, len(blocks))
            futures = [
                pool.submit(work, blocks, number, day, scorer, late_days, *extra_arguments(number))
                for number in range(len(blocks))
            ]
            results = []
            for finished, future in enumerate(futures, 1):
                results.append(future.result())
                progress(activity, finished, len(blocks))
            return results

        for delay in {0, late_days}:
            blocks.begin(day, delay)
        facts_and_sums = run_on_blocks("blocks of customers built", _build_block, lambda _: ())
        for delay in {0, late_days}:
            blocks.put_in_place(day, delay)
        everybody = Everybody.from_sums(
            blocks.builder.spec.roles, [facts for facts, _ in facts_and_sums]
        )
        context = context_from_sums(loaded, [sums for _, sums in facts_and_sums])

        def arguments(number: int) -> tuple[Everybody, dict[str, Any], RowFinisher, Path]:
            return everybody, context, finish.among(*blocks.ends(number)), into

        row_counts = run_on_blocks("blocks of customers scored", _score_block, arguments)
    return _BlockScores(sum(row_counts), context, everybody)


def _build_block(
    blocks: Blocks, number: int, day: int, scorer: tuple[Path, int], late_days: int
) -> tuple[Mapping[str, Any], dict[str, float]]:
    """Write the features of a block; return its population sums and its context sums."""
    builder = blocks.opened(number)
    frames = {delay: builder.features(day, delay=delay) for delay in {0, late_days}}
    for delay, frame in frames.items():
        file = blocks.part(number, day, delay, aside=True)
        frame.to_parquet(file, index=False, compression="lz4")
    totals: dict[str, float] = {}
    for batch in split_batches(
        add_late_features(_Block(builder, frames), frames[0], day, late_days)
    ):
        totals = add_sums(totals, batch_sums(cached_scorer(*scorer), batch))
    visible = builder.history.known_before(day)
    return sums(View(visible, day, builder.spec.minor_units)), totals


def _score_block(
    blocks: Blocks,
    number: int,
    day: int,
    scorer: tuple[Path, int],
    late_days: int,
    everybody: Everybody,
    context: Mapping[str, Any],
    finish: RowFinisher,
    into: Path,
) -> int:
    """Write the scored rows of a block; return their number."""
    frames = {delay: read_features(blocks.part(number, day, delay)) for delay in {0, late_days}}
    if frames[0].empty:  # no customer of the block existed yet
        return 0
    loaded, block = cached_scorer(*scorer), _Block(blocks.opened(number, everybody), frames)
    frame = scoring_frame(block, day, late_days=late_days)
    scored_batches = [loaded.predict(batch, context) for batch in split_batches(frame)]
    rows = finish(pd.concat(scored_batches, ignore_index=True), loaded)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    write_parquet(into / f"scores-{number:05d}.parquet", table)
    return len(rows)
