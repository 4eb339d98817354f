"""A published run of some thousand invented customers, with groups that would isolate persons."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features.storage.runs import RunRecord, run_folder
from features.storage.scores_store import publish_run, read_current

CUSTOMERS = 4000


def crowd_scores(output: Path, seed: int) -> pd.DataFrame:
    """Scores of the shop's columns, with invented customers in sound and unsound groups."""
    random = np.random.default_rng(seed)
    like = read_current(output).scores
    scores = like.iloc[random.integers(0, len(like), CUSTOMERS)].reset_index(drop=True)
    stage = random.choice(["lapsed", "retention", "conversion"], CUSTOMERS, p=[0.5, 0.4, 0.1])
    stage[:12] = "loyalty"  # too few
    clv = random.gamma(2.0, 40.0, CUSTOMERS)
    tier = random.choice(["top", "mid", "low"], CUSTOMERS)
    # The band is the stage but for one person, whom the difference of two sums would describe.
    band = np.where(stage == "lapsed", "high", "low").astype(object)
    band[np.flatnonzero(stage == "lapsed")[0]] = "low"
    return scores.assign(
        customer_id=[f"person-{number:05d}" for number in range(CUSTOMERS)],
        stage=stage,
        value_tier=tier,
        churn_band=band,
        p_churn=random.uniform(0, 1, CUSTOMERS),
        clv=clv,
    )


def publish_crowd(shop_output: Path, folder: Path, *, seed: int = 1) -> Path:
    """Copy the shop's output folder, and publish the crowd as its run of the next day."""
    output = folder / "crowd"
    shutil.copytree(shop_output, output)
    before = read_current(output).run
    day = before.snapshot_at + dt.timedelta(days=1)
    scores = crowd_scores(output, seed).assign(snapshot_at=pd.Timestamp(day))
    run = RunRecord(
        run_id="crowd", dataset=before.dataset, snapshot_at=day, started_at=before.started_at,
        finished_at=before.finished_at, scorer_version=before.scorer_version,
    )  # fmt: skip
    target, source = run_folder(output, "crowd"), run_folder(output, before.run_id)
    shutil.copytree(source / "audiences", target / "audiences")
    scores.to_parquet(target / "scores.parquet")
    audience = pq.read_table(output / before.audience_file).to_pandas()
    audience.assign(snapshot_at=day).to_parquet(target / "audience.parquet")
    publish_run(
        output, run, scores=[target / "scores.parquet"], audience=target / "audience.parquet"
    )
    return output
