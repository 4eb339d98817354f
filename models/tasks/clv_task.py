"""The task CLV: net spend within the horizon, and the first purchase of leads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.config import Config
from features.table.feature_store import Archive
from models.baselines import clv_baselines
from models.baselines.lead_points import lead_points
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.metrics.metric_call import MetricCall
from models.scorer.clv import predict_clv
from models.scorer.part import Part
from models.tasks.clv import fit_clv
from models.tasks.lead import select_leads
from models.tasks.task import Baseline, Guard, Outputs, Task, total_bias, tweedie_losses


class ClvPrediction(Task):
    """Customer lifetime value."""

    name = "clv"
    description = "expected net spend within the horizon, with an 80 % interval"
    label, output = "spend", "clv"
    loss_name = "tweedie deviance"
    baselines: ClassVar[Mapping[str, Baseline]] = {
        "btyd": lambda data, part, rows: clv_baselines.btyd_spend(part, rows),
        "contract": lambda data, part, rows: clv_baselines.contract_payments(part, rows),
        "gbm": lambda data, part, rows: clv_baselines.plain_gbm(
            data.frame, rows, seed=0, threads=1
        ),
        "same_again": lambda data, part, rows: clv_baselines.repeat_spend(
            rows, int(part.parameters["horizon_days"])
        ),
        "mean": lambda data, part, rows: clv_baselines.mean_spend(data.frame, rows),
    }
    guards = (
        Guard("1 - Gini", lambda target, output: 1.0 - metrics.gini(target, output), 0.005),
        Guard("total bias", total_bias, 0.02),
    )
    event_words = "customers who bought"

    def _fit(
        self,
        data: TrainingSet,
        config: Config,
        stages: list[str],
        threads: int,
        settings: Mapping[str, Any],
    ) -> Part:
        return fit_clv(
            data.frame,
            data.contexts,
            at_origin=data.at_origin,
            validation_at=data.validation_at,
            horizon_days=config.clv.horizon_days,
            margin=config.clv.margin,
            seed=config.seed,
            threads=threads,
        )

    def predict(
        self, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Expected spend, its interval, and the first purchase of leads."""
        return predict_clv(part, rows, context)

    def metric_calls(self, outputs: Outputs, rows: pd.DataFrame) -> list[MetricCall]:
        """Errors of the amount, of the total, of the ranking, and of the interval."""
        target, prediction = rows["spend"].to_numpy(dtype=np.float64), outputs["clv"]
        calls = [
            MetricCall("mae", metrics.mae, (target, prediction)),
            MetricCall("rmse", metrics.rmse, (target, prediction)),
            MetricCall("rate", metrics.mean, (prediction,)),
        ]
        if target.sum() > 0:
            calls += [
                MetricCall("tweedie", metrics.tweedie, (target, prediction)),
                MetricCall("bias_pct", metrics.bias_pct, (target, prediction)),
                MetricCall("spearman", metrics.spearman, (target, prediction)),
                MetricCall("gini", metrics.gini, (target, prediction)),
                MetricCall("top10", metrics.top10, (target, prediction)),
                MetricCall("decile_error", metrics.decile_error, (target, prediction)),
            ]
        if "clv_low" in outputs:
            interval = (target, outputs["clv_low"], outputs["clv_high"])
            calls += [MetricCall("coverage", metrics.coverage, interval)]
            calls += _interval_calls(*interval, prediction)
            if target.sum() > 0:
                calls += [MetricCall("width_ratio", metrics.width_ratio, interval)]
        return calls

    def losses(self, outputs: Outputs, rows: pd.DataFrame) -> Array:
        """Tweedie deviance of spend over its mean; 0 without any spend."""
        return tweedie_losses(rows["spend"].to_numpy(dtype=np.float64), outputs["clv"])

    def tested_rows(self, rows: pd.DataFrame, config: Config) -> pd.DataFrame:
        """Buyers within the horizon where the config limits activity, else everyone."""
        if config.activity_days is None:
            return rows
        is_recent = rows["purchase__recency_days"] <= config.clv.horizon_days
        return rows[is_recent].reset_index(drop=True)

    def leads(self, archive: Archive, rows: pd.DataFrame, at: int) -> pd.DataFrame | None:
        """Leads with their ``points`` by the points table; None where there are none."""
        leads = select_leads(rows)
        if not len(leads):
            return None
        return leads.assign(points=lead_points(archive, at, leads["customer_id"]))

    def outcome(self, rows: pd.DataFrame) -> pd.Series:
        """Spend."""
        return rows["spend"].astype(np.float64)

    def event(self, labels: pd.DataFrame) -> pd.Series:
        """True for customers who bought."""
        return labels["orders"] > 0


def _interval_calls(target: Array, low: Array, high: Array, prediction: Array) -> list[MetricCall]:
    """Shares beyond both ends, and the coverage of every fifth by predicted value (1: smallest)."""
    inside = ((target >= low) & (target <= high)).astype(np.float64)
    calls = [
        MetricCall("below_interval", metrics.mean, ((target < low).astype(np.float64),)),
        MetricCall("above_interval", metrics.mean, ((target > high).astype(np.float64),)),
    ]
    if len(prediction) < 5:
        return calls
    ranks = np.argsort(np.argsort(prediction, kind="stable"))
    fifths = ranks * 5 // len(prediction)
    return calls + [
        MetricCall(
            f"coverage_fifth_{number + 1}",
            metrics.mean_within,
            (inside, (fifths == number).astype(np.float64)),
        )
        for number in range(5)
    ]
