"""Scoring by blocks of customers, side by side, where the tallies of all do not fit in memory.

Two looks at every block, each by some worker process: its features, with what they add to the facts
of everybody and to the scoring context; then, when both are known, its scores.
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
from models.serving.batches import context_of, loaded_once, pieces, population_sums
from models.serving.score import Finish, late_days_of, scoring_frame, with_late


@dataclass(frozen=True)
class _Scored:
    """What came of it: the number of rows, the scoring context, and the facts of everybody."""

    customers: int
    context: dict[str, Any]
    everybody: Everybody


@dataclass(frozen=True)
class _Block:
    """Features of a block by the days that their data run behind, and the builder behind them."""

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
    at: int,
    finish: Finish,
    *,
    into: Path,
    told: Told = unheard,
) -> _Scored:
    """Write scored rows of everyone who exists at a snapshot, as `models.serving.score.score` gives
    them.

    Parameters
    ----------
    loaded
        The scorer.
    blocks
        Stored tallies.
    at
        Day number of the snapshot.
    finish
        Completes scored rows.
    into
        Folder for the parquet files, one a block.
    told
        Told of how many blocks are counted, and scored.
    """
    scorer, late = (loaded.folder, loaded.version.version), late_days_of(loaded.scorer.parts)
    with processes.pool(blocks.builder.config.threads) as pool:

        def each(what: str, work: Callable[..., Any], given: Callable[[int], Any]) -> list[Any]:
            told(what, 0, len(blocks))
            waiting = [
                pool.submit(work, blocks, number, at, scorer, late, *given(number))
                for number in range(len(blocks))
            ]
            found = []
            for done, future in enumerate(waiting, 1):
                found.append(future.result())
                told(what, done, len(blocks))
            return found

        for delay in {0, late}:
            blocks.begin(at, delay)
        built = each("blocks of customers built", _built, lambda _: ())
        for delay in {0, late}:
            blocks.put_in_place(at, delay)
        everybody = Everybody.from_sums(blocks.builder.spec.roles, [facts for facts, _ in built])
        context = context_of(loaded, [sums for _, sums in built])

        def known(number: int) -> tuple[Everybody, dict[str, Any], Finish, Path]:
            return everybody, context, finish.among(*blocks.ends(number)), into

        scored = each("blocks of customers scored", _scored, known)
    return _Scored(sum(scored), context, everybody)


def _built(
    blocks: Blocks, number: int, at: int, scorer: tuple[Path, int], late: int
) -> tuple[Mapping[str, Any], dict[str, float]]:
    """Write the features of a block; what it adds to the facts of everybody, and to the context."""
    builder = blocks.opened(number)
    frames = {delay: builder.features(at, delay=delay) for delay in {0, late}}
    for delay, frame in frames.items():
        file = blocks.part(number, at, delay, aside=True)
        frame.to_parquet(file, index=False, compression="lz4")
    counted: dict[str, float] = {}
    for batch in pieces(with_late(_Block(builder, frames), frames[0], at, late)):
        counted = add_sums(counted, population_sums(loaded_once(*scorer), batch))
    known = builder.history.known_before(at)
    return sums(View(known, at, builder.spec.minor_units)), counted


def _scored(
    blocks: Blocks,
    number: int,
    at: int,
    scorer: tuple[Path, int],
    late: int,
    everybody: Everybody,
    context: Mapping[str, Any],
    finish: Finish,
    into: Path,
) -> int:
    """Write the scored rows of a block; how many there are."""
    frames = {delay: read_features(blocks.part(number, at, delay)) for delay in {0, late}}
    if frames[0].empty:  # nobody of the block existed yet
        return 0
    loaded, block = loaded_once(*scorer), _Block(blocks.opened(number, everybody), frames)
    frame = scoring_frame(block, at, late_days=late)
    parts = [loaded.predict(batch, context) for batch in pieces(frame)]
    rows = finish(pd.concat(parts, ignore_index=True), loaded)
    made = pa.Table.from_pandas(rows, preserve_index=False)
    write_parquet(into / f"scores-{number:05d}.parquet", made)
    return len(rows)
