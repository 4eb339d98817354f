"""A run folder with tallies and made-up scores, for what follows scoring: no model is trained."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from features.aggregates.daily_aggregates import tally
from features.calendar import day_date
from features.storage import scores_store
from features.storage.runs import RunRecord, run_folder, write_parquet
from features.table import feature_store
from flows.services.workspace import Workspace, latest_event_day, prepare_workspace
from flows.simulate import write_config
from simulator import simulate


def simulated_shop(folder: Path, *, customers: int = 600, seed: int = 4) -> Path:
    """Simulated customers with the config that reads them; returns its path."""
    simulate.simulate("reference", customers=customers, seed=seed, output=folder, workers=1)
    return write_config(folder, "reference")


def with_tallies(config: Path, output: Path, *settings: str) -> Workspace:
    """An output folder as `stagecast features` leaves it, without snapshots."""
    space = prepare_workspace(output, str(config), settings)
    tallies, _ = tally(space.config(), latest=latest_event_day(), quarantine=output / "quarantine")
    feature_store.store(space.output, space.config(), tallies, [])
    return space


def made_up_scores(space: Workspace, at: dt.date, *, seed: int = 1) -> pd.DataFrame:
    """Scored rows with true facts and drawn model columns."""
    builder = space.archive().builder
    day = (at - dt.date(1970, 1, 1)).days
    facts = builder.profile(day)
    features = builder.features(day)
    rng, n = np.random.default_rng(seed), len(facts)
    bought = facts["average_order_value"].notna().to_numpy()
    lapsed = (features["stage"] == "lapsed").to_numpy()
    facts["stage"] = features["stage"].to_numpy()
    facts["data_through"] = pd.Timestamp(at) - pd.Timedelta(days=1)
    facts["p_churn"] = np.where(bought & ~lapsed, rng.uniform(0, 1, n), np.nan)
    band = rng.choice(["high", "medium", "low"], n)
    facts["churn_band"] = pd.Series(band).where(bought & ~lapsed)
    facts["value_tier"] = rng.choice(["top", "mid", "low"], n)
    facts["clv"] = rng.gamma(2.0, 30.0, n)
    facts["p_any_order"] = rng.uniform(0, 1, n)
    facts["p_first_purchase"] = np.where(bought, np.nan, rng.uniform(0, 0.4, n))
    facts["lead_score"] = np.where(bought, np.nan, rng.uniform(0, 100, n))
    facts["lead_band"] = pd.Series(rng.choice(list("ABCD"), n)).where(~bought)
    facts["p_reactivate"] = np.where(lapsed, rng.uniform(0, 0.3, n), np.nan)
    due = pd.to_timedelta(rng.integers(1, 60, n), unit="D")
    facts["expected_next_order_at"] = pd.Series(pd.Timestamp(at) + due).where(bought)
    return facts


def published(
    space: Workspace, run_id: str, scores: pd.DataFrame, *, scorer_version: str = "1"
) -> Path:
    """A scored run that waits for its audiences; returns its folder."""
    folder = run_folder(space.output, run_id)
    (folder / "scores").mkdir(parents=True)
    table = pa.Table.from_pandas(scores, preserve_index=False)
    write_parquet(folder / "scores" / "scores.parquet", table)
    at = pd.Timestamp(scores["snapshot_at"].iloc[0]).date()
    meta = {
        "run_id": run_id,
        "dataset": space.config().name,
        "snapshot_at": str(at),
        "scorer_version": scorer_version,
        "mlflow_run_id": "none",
        "started_at": "2024-01-01T00:00:00+00:00",
    }
    (folder / "run.json").write_text(json.dumps(meta), encoding="utf-8")
    return folder


def publish(space: Workspace, run_id: str) -> None:
    """Make a run's scores and audiences the published ones."""
    folder = run_folder(space.output, run_id)
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    moment = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    record = RunRecord(
        run_id=run_id,
        dataset=meta["dataset"],
        snapshot_at=dt.date.fromisoformat(meta["snapshot_at"]),
        scorer_version=meta["scorer_version"],
        mlflow_run_id=meta["mlflow_run_id"],
        started_at=moment,
        finished_at=moment,
    )
    scores_store.publish_run(
        space.output,
        record,
        scores=[folder / "scores" / "scores.parquet"],
        audience=folder / "audience.parquet",
    )


def last_day(space: Workspace) -> dt.date:
    """The last snapshot that the data allow."""
    return day_date(space.archive().builder.last_snapshot)
