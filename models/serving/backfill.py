"""Scores of past dates, as a worker process makes them: one date, one run's folder."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pyarrow as pa

from features.calendar import day_date
from features.storage.runs import write_parquet
from features.table.feature_store import Archive
from features.table.product_margins import margin_shares
from models.registry import registry
from models.registry.registry import Loaded
from models.registry.tracking import Tracking
from models.serving.event_scoring import stored_facts
from models.serving.score import Finish, Stamp, score


@functools.lru_cache(maxsize=2)
def _loaded(tracking: Tracking, version: int) -> Loaded:
    return registry.load(tracking, version=version)


def score_day(
    archive: Archive, tracking: Tracking, version: int, at: int, stamp: Stamp, folder: Path
) -> int:
    """Score everyone who existed at a past date, from what was known before it.

    Parameters
    ----------
    archive
        Stored tallies.
    tracking
        Where the scorer is registered.
    version
        Which scorer.
    at
        Day number of the date.
    stamp
        Run and moment.
    folder
        Folder of the run; gets ``scores/scores.parquet`` and ``scoring_context.json``.

    Returns
    -------
    int
        Customers scored.
    """
    config = archive.builder.config
    margins = margin_shares(archive.folder.parent, config, at=at, day=day_date(at))
    finish = Finish.of(stamp, None, margins)
    rows, context = score(_loaded(tracking, version), archive, at, finish)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    write_parquet(folder / "scores" / "scores.parquet", table)
    context |= stored_facts(archive.builder, at)
    (folder / "scoring_context.json").write_text(json.dumps(context, indent=1), encoding="utf-8")
    return len(rows)
