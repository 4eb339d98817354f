"""What a back-test must not let through: leaks, shuffled labels, constant predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.baselines.churn_baselines import one_snapshot_rfm
from models.evaluation.evaluate import Draws, LabelledTestSet, MetricFigure, metric_figures
from models.evaluation.warnings import backtest_warnings
from models.metrics import metrics
from models.scorer.churn import predict_churn
from models.tasks.churn import fit_churn
from models.tasks.task import Outputs
from tests.models.tasks.test_churn import (
    DATES,
    HORIZON,
    QUICK,
    TEST_AT,
    context_of,
    feature_frame,
    history,
)

DAY = (TEST_AT - pd.Timestamp("1970-01-01")).days


@pytest.fixture(scope="module")
def train() -> pd.DataFrame:
    purchases = history()
    return pd.concat([feature_frame(purchases, at) for at in DATES], ignore_index=True)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return feature_frame(history(), TEST_AT)


def served(frame: pd.DataFrame, rows: pd.DataFrame) -> Outputs:
    contexts = {at: context_of(part) for at, part in frame.groupby("snapshot_at")}
    part = fit_churn(
        frame, contexts, validation_at=DATES[-1], horizon_days=HORIZON, seed=1, recipe=QUICK
    )
    return predict_churn(part, rows, context_of(rows))


def figures(rows: pd.DataFrame, outputs: dict[str, Outputs]) -> list[MetricFigure]:
    draws = Draws(np.sort(rows["customer_id"].to_numpy()), seed=3)
    return metric_figures(LabelledTestSet("churn", DAY, rows, rows), outputs, HORIZON, draws=draws)


def told(found: list[MetricFigure]) -> list[str]:
    return backtest_warnings(figure.as_dict() for figure in found)


def one(found: list[MetricFigure], method: str, metric: str) -> MetricFigure:
    return next(f for f in found if (f.method, f.metric) == (method, metric))


def test_honest_labels_raise_no_concern(train: pd.DataFrame, rows: pd.DataFrame) -> None:
    found = figures(rows, {"champion": served(train, rows), "rfm": one_snapshot_rfm(train, rows)})
    assert told(found) == []
    assert 0.6 < (one(found, "champion", "auc").value or 0.0) < 0.95


def test_a_feature_that_knows_the_outcome_is_told(train: pd.DataFrame, rows: pd.DataFrame) -> None:
    peek = [frame.assign(peek__days=1.0 + frame["no_purchase"]) for frame in (train, rows)]
    found = figures(rows, {"champion": served(*peek), "rfm": one_snapshot_rfm(train, rows)})
    assert any("too good to be true" in sentence for sentence in told(found))


def test_shuffled_labels_teach_nothing_and_lose(train: pd.DataFrame, rows: pd.DataFrame) -> None:
    mixed = np.random.default_rng(0).permutation(train["no_purchase"].to_numpy())
    learned = served(train.assign(no_purchase=mixed), rows)
    found = figures(rows, {"champion": learned, "rfm": one_snapshot_rfm(train, rows)})
    assert (one(found, "champion", "auc").low or 1.0) < 0.6
    gain = one(found, "rfm", "auc")
    assert gain.difference_high is not None
    assert gain.difference_high < -0.05
    assert any("better than the served model: log_loss" in sentence for sentence in told(found))
    # Nothing of the test label reaches a fit by another way: no better than knowing the rate.
    y = rows["no_purchase"].to_numpy()
    rate = metrics.log_loss(y, np.full(len(y), mixed.mean()))
    assert (one(found, "champion", "log_loss").value or 0.0) > rate - 0.01


def test_a_constant_ranks_nobody_and_loses(train: pd.DataFrame, rows: pd.DataFrame) -> None:
    constant = {"p_churn": np.full(len(rows), rows["no_purchase"].mean())}
    found = figures(rows, {"champion": constant, "rfm": one_snapshot_rfm(train, rows)})
    auc = one(found, "champion", "auc")
    assert (auc.value, auc.low, auc.high) == (0.5, 0.5, 0.5)
    assert one(found, "champion", "lift_10").value == pytest.approx(1.0)
    assert one(found, "champion", "ece").value == pytest.approx(0.0, abs=1e-12)
    assert any("better than the served model: log_loss" in sentence for sentence in told(found))


@pytest.mark.parametrize("amount", [0.0, 16.0])
def test_the_same_amount_for_everybody_ranks_nobody(amount: float) -> None:
    random = np.random.default_rng(1)
    spend = np.where(random.random(400) < 0.6, 0.0, random.gamma(2, 20, 400))
    ids = np.array([f"c{i:03d}" for i in range(400)])
    rows = pd.DataFrame({"customer_id": ids, "spend": spend})
    outputs: dict[str, Any] = {
        "champion": {"clv": np.full(400, amount)},
        "btyd": {"clv": spend * random.lognormal(0, 0.3, 400)},
    }
    draws = Draws(ids, seed=0)
    found = metric_figures(LabelledTestSet("clv", DAY, rows, rows), outputs, HORIZON, draws=draws)
    assert one(found, "champion", "gini").value == pytest.approx(0.0, abs=1e-9)
    assert one(found, "champion", "spearman").value is None
    # Nought for all has the smallest median error, and is betrayed by its total.
    assert any("better than the served model: rmse" in sentence for sentence in told(found))
    assert any("the actual total" in sentence for sentence in told(found)) == (amount == 0.0)
