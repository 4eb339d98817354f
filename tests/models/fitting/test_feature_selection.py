"""Very many columns: the ones that tell something are kept, and time is bounded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.fitting import multiclass_trees
from models.fitting.feature_selection import MAX_COLUMNS, row_limit, strongest_columns
from models.metrics import metrics
from models.scorer.transition import predict_transition
from models.tasks.transition import fit_transition
from tests.lifecycle_frames import PERIOD_DAYS, PERIODS, STAGES, contexts, life, split


@pytest.mark.parametrize("objective", ["binary", "multiclass", "tweedie"])
def test_signal_is_kept_among_noise(objective: str) -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 250))
    z = x[:, 17] + x[:, 101] - x[:, 230]
    y = {
        "binary": (z > 0).astype(float),
        "multiclass": np.digitize(z, [-1.0, 1.0]) * 2,  # codes with gaps
        "tweedie": np.exp(z) * (rng.random(3000) < 0.5),
    }[objective]
    kept = strongest_columns(x, y, seed=1, threads=1, objective=objective, max_columns=20)
    assert {17, 101, 230} <= set(kept.tolist())
    assert len(kept) <= 20
    assert (np.diff(kept) > 0).all()
    again = strongest_columns(x, y, seed=1, threads=1, objective=objective, max_columns=20)
    np.testing.assert_array_equal(kept, again)


def test_few_columns_and_a_constant_outcome_keep_everything() -> None:
    x = np.random.default_rng(0).normal(size=(100, MAX_COLUMNS + 5))
    assert (
        len(strongest_columns(x, np.ones(100), seed=0, threads=1, objective="binary")) == x.shape[1]
    )
    few = x[:, :MAX_COLUMNS]
    y = (few[:, 0] > 0).astype(float)
    assert len(strongest_columns(few, y, seed=0, threads=1, objective="binary")) == MAX_COLUMNS


def test_wide_data_learn_from_fewer_rows_and_narrow_ones_from_all() -> None:
    assert row_limit(20, max_rows=1000, max_cells=100_000) == 1000
    assert row_limit(500, max_rows=1000, max_cells=100_000) == 100_000 // MAX_COLUMNS
    assert row_limit(0, max_rows=1000, max_cells=100_000) == 1000


def test_a_transition_model_of_wide_data_is_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = split(life(500, snapshots=4))
    rng = np.random.default_rng(8)

    def with_noise(frame: pd.DataFrame) -> pd.DataFrame:
        noise = rng.normal(size=(len(frame), 250))
        names = [f"noise__level_{n}" for n in range(250)]
        return pd.concat([frame, pd.DataFrame(noise, frame.index, names)], axis=1)

    train, test = with_noise(train), with_noise(test)
    losses, columns = [], []
    truth = np.where(test["period"] > 0, test["next_code"], len(STAGES)).astype(int)
    for most in (60, 10_000):
        monkeypatch.setattr("models.fitting.feature_selection.MAX_COLUMNS", most)
        part = fit_transition(
            train,
            contexts(train),
            validation_at=train["snapshot_at"].max(),
            stages=STAGES,
            periods=PERIODS,
            period_days=PERIOD_DAYS,
            seed=3,
            threads=1,
        )
        out = predict_transition(part, test, {"population_gap_days": 12.0})
        losses.append(metrics.multiclass_log_loss(truth, out["probabilities"]))
        columns.append(part.parameters["columns"])
    assert len(columns[0]) <= 120  # 60 for where to, 60 for when
    assert len(columns[1]) > 250
    assert {"activity__level", "purchase__recency_days"} <= set(columns[0])
    assert losses[0] < losses[1] + 0.003  # near certain: of either little is left


def test_rows_are_thinned_by_whole_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiclass_trees, "_MAX_ROWS", 500)
    frame = life(400, snapshots=3)
    thin = multiclass_trees.thin_customers(frame)
    assert 400 < len(thin) < 600
    assert (thin.groupby("customer_id").size() == 3).all()
