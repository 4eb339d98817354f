"""BG/NBD has a share in churn risk where it clearly helps, and none where it does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.fitting.btyd_blend import blend_with_btyd
from models.metrics import metrics
from models.scorer.linear_model import sigmoid
from simulator import simulate

HORIZON = 91


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder: Path = tmp_path_factory.mktemp("btyd")
    simulate.simulate("btyd", customers=3_000, seed=8, output=folder)
    truth = pd.read_parquet(folder / "truth" / "snapshots")
    truth = truth[truth["snapshot_at"] == truth["snapshot_at"].max()].reset_index(drop=True)
    drawn = np.random.default_rng(4).random(len(truth)) < truth["p_no_purchase"]
    return pd.DataFrame(
        {
            "btyd__x": truth["x"].astype(float),
            "btyd__t_x": truth["t_x"] * 7,
            "btyd__T": truth["T"] * 7,
            "btyd__value_n": truth["x"].astype(float),
            "btyd__mean_value": truth["mean_value"].where(truth["x"] > 0),
            "truth": truth["p_no_purchase"],
            "no_purchase": drawn.astype(float),
        }
    )


def mixed(rows: pd.DataFrame, logit: np.ndarray) -> tuple[dict, np.ndarray]:
    y = rows["no_purchase"].to_numpy()
    return blend_with_btyd(rows, y, logit, horizon_days=HORIZON, at_validation=rows, at_origin=rows)


def test_it_takes_over_from_a_model_that_knows_nothing(rows: pd.DataFrame) -> None:
    y = rows["no_purchase"].to_numpy()
    flat = np.full(len(rows), np.log(y.mean() / (1 - y.mean())))
    half, logit = mixed(rows, flat)
    assert half["btyd_weight"] >= 0.8
    assert half["btyd"]["model"] in ("bg_nbd", "mbg_nbd")
    assert metrics.log_loss(y, sigmoid(logit)) < metrics.log_loss(y, sigmoid(flat)) - 0.05


def test_it_has_no_share_beside_a_model_that_knows_more(rows: pd.DataFrame) -> None:
    p = np.clip(rows["truth"].to_numpy(), 1e-4, 1 - 1e-4)
    half, logit = mixed(rows, np.log(p) - np.log1p(-p))
    assert half == {"btyd": None, "btyd_weight": 0.0}
    np.testing.assert_array_equal(logit, np.log(p) - np.log1p(-p))


def test_it_has_no_share_without_repeat_purchases_or_with_few_customers(
    rows: pd.DataFrame,
) -> None:
    once = rows.assign(btyd__x=0.0, btyd__t_x=0.0)
    for few in (once, rows.iloc[:50]):
        half, _ = mixed(few, np.zeros(len(few)))
        assert half["btyd_weight"] == 0.0
