"""Scoring by blocks of customers, side by side, where the tallies of all do not fit in memory.

Three looks at every block, each by some worker process: its features and what it adds to the facts
of everybody; its input rows and what they add to the scoring context; its scores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from features import processes
from features.archive import read_features
from features.blocks import Blocks
from features.build import Builder
from features.catalog import View
from features.everybody import Everybody, sums
from features.runs import write_parquet
from features.told import Told, unheard
from models import inference
from models.batches import context_of, loaded_once, pieces, population_sums
from models.registry import Loaded
from models.scoring import Finish, late_days_of, scoring_frame


@dataclass(frozen=True)
class Scored:
    """What came of it: the number of rows, the scoring context, and the facts of everybody."""

    customers: int
    context: dict[str, Any]
    everybody: Everybody


@dataclass(frozen=True)
class _StoredBlock:
    """Features of a block as they were written, and the builder of its customers."""

    blocks: Blocks
    number: int
    builder: Builder

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot."""
        return self.delayed(at, 0)

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind."""
        return read_features(self.blocks.part(self.number, at, delay))


def score_by_blocks(
    loaded: Loaded,
    blocks: Blocks,
    at: int,
    finish: Finish,
    *,
    into: Path,
    told: Told = unheard,
) -> Scored:
    """Write scored rows of everyone who exists at a snapshot, as `models.scoring.score` gives them.

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
    late = late_days_of(loaded.scorer.parts)
    scorer = (loaded.folder, loaded.version.version)
    with (
        tempfile.TemporaryDirectory(prefix="stagecast-score-") as name,
        processes.pool(blocks.builder.config.threads) as pool,
    ):
        inputs = [Path(name) / f"{number:05d}.feather" for number in range(len(blocks))]

        def each(what: str, work: Callable[..., Any], *arguments: Any, own: Any = ()) -> list[Any]:
            told(what, 0, len(blocks))
            waiting = [
                pool.submit(work, blocks, number, at, *arguments, *(some[number] for some in own))
                for number in range(len(blocks))
            ]
            found = []
            for done, future in enumerate(waiting, 1):
                found.append(future.result())
                told(what, done, len(blocks))
            return found

        for delay in {0, late}:
            blocks.begin(at, delay)
        facts = each("blocks of customers built", _built, late)
        for delay in {0, late}:
            blocks.put_in_place(at, delay)
        everybody = Everybody.from_sums(blocks.builder.spec.roles, facts)
        counted = each(
            "blocks of customers counted", _counted, late, everybody, scorer, own=[inputs]
        )
        context = context_of(loaded, counted)
        ends = (*blocks.bounds[1:], None)
        own = [finish.among(*ids) for ids in zip(blocks.bounds, ends, strict=True)]
        scored = each(
            "blocks of customers scored", _scored, scorer, context, into, own=[inputs, own]
        )
    return Scored(sum(scored), context, everybody)


def _built(blocks: Blocks, number: int, at: int, late: int) -> Mapping[str, Any]:
    """Write the features of a block; what it adds to the facts of everybody."""
    builder = blocks.opened(number)
    for delay in {0, late}:
        file = blocks.part(number, at, delay, aside=True)
        builder.features(at, delay=delay).to_parquet(file, index=False, compression="lz4")
    known = builder.history.known_before(at)
    return sums(View(known, at, builder.spec.minor_units))


def _counted(
    blocks: Blocks,
    number: int,
    at: int,
    late: int,
    everybody: Everybody,
    scorer: tuple[Path, int],
    inputs: Path,
) -> dict[str, float]:
    """Write the input rows of a block; what they add to the sums of the scoring context."""
    block = _StoredBlock(blocks, number, blocks.opened(number, everybody))
    frame = scoring_frame(block, at, late_days=late)
    frame.to_feather(inputs, compression="lz4")
    sums: dict[str, float] = {}
    for batch in pieces(frame):
        sums = inference.add_sums(sums, population_sums(loaded_once(*scorer), batch))
    return sums


def _scored(
    blocks: Blocks,
    number: int,
    at: int,
    scorer: tuple[Path, int],
    context: Mapping[str, Any],
    into: Path,
    inputs: Path,
    finish: Finish,
) -> int:
    """Write the scored rows of a block; how many there are."""
    loaded, frame = loaded_once(*scorer), pd.read_feather(inputs)
    inputs.unlink()
    if frame.empty:  # nobody of the block existed yet
        return 0
    parts = [loaded.predict(batch, context) for batch in pieces(frame)]
    rows = finish(pd.concat(parts, ignore_index=True), loaded)
    made = pa.Table.from_pandas(rows, preserve_index=False)
    write_parquet(into / f"scores-{number:05d}.parquet", made)
    return len(rows)
