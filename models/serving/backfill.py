"""Score one past date into the folder of a run; called in a worker process."""

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
from models.serving.event_scoring import population_facts
from models.serving.plugin_families import require_plugins
from models.serving.score import RowFinisher, ScoreStamp, score_snapshot


@functools.lru_cache(maxsize=2)
def _loaded(tracking: Tracking, version: int) -> Loaded:
    loaded = registry.load(tracking, version=version)
    require_plugins(loaded.scorer.head, f"stagecast-scorer version {version}")
    return loaded


def score_day(
    archive: Archive, tracking: Tracking, version: int, day: int, stamp: ScoreStamp, folder: Path
) -> int:
    """Score all customers who existed at a past date, from what was known before it.

    Parameters
    ----------
    archive
        Stored tallies.
    tracking
        Registry of the scorer.
    version
        Version of the scorer.
    day
        Day number of the date.
    stamp
        Run id and time of scoring.
    folder
        Folder of the run; gets ``scores/scores.parquet`` and ``scoring_context.json``.

    Returns
    -------
    int
        Customers scored.
    """
    config = archive.builder.config
    margins = margin_shares(archive.folder.parent, config, at=day, day=day_date(day))
    finish = RowFinisher.of(stamp, None, margins)
    rows, context = score_snapshot(_loaded(tracking, version), archive, day, finish)
    table = pa.Table.from_pandas(rows, preserve_index=False)
    write_parquet(folder / "scores" / "scores.parquet", table)
    context |= population_facts(archive.builder, day)
    (folder / "scoring_context.json").write_text(json.dumps(context, indent=1), encoding="utf-8")
    return len(rows)
