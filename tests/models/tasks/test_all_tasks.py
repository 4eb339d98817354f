"""Which figures each task is measured by, from which columns and outputs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.metrics import metrics
from models.tasks.all_tasks import TASKS
from models.tasks.lead import lead_metric_calls
from models.tasks.task import Outputs

RNG = np.random.default_rng(4)
N = 60
CHANCE = RNG.random(N)
BOUGHT = (RNG.random(N) < CHANCE).astype(float)
SPEND = np.where(RNG.random(N) < 0.4, 0.0, RNG.gamma(2.0, 30.0, N))
CLV = SPEND * RNG.lognormal(0.0, 0.5, N) + 5.0


def values(task: str, out: Outputs, rows: pd.DataFrame) -> dict[str, float]:
    return {measure.metric: measure.value for measure in TASKS[task].metric_calls(out, rows)}


def test_churn() -> None:
    y, p = BOUGHT, CHANCE
    found = values("churn", {"p_churn": p}, pd.DataFrame({"no_purchase": y}))
    assert found == {
        "auc": metrics.auc(y, p),
        "lift_10": metrics.lift_10(y, p),
        "log_loss": metrics.log_loss(y, p),
        "brier": metrics.brier(y, p),
        "ece": metrics.ece(y, p),
        "bias_pct": metrics.bias_pct(y, p),
        "rate": p.mean(),
    }


@pytest.mark.parametrize("y", [np.zeros(N), np.ones(N)])
def test_one_class_has_no_ranking(y: np.ndarray) -> None:
    found = values("churn", {"p_churn": CHANCE}, pd.DataFrame({"no_purchase": y}))
    assert set(found) == {"log_loss", "brier", "ece", "bias_pct", "rate"}


def test_leads_by_probability_or_by_rank_alone() -> None:
    leads = pd.DataFrame({"orders": 2 * BOUGHT})
    both = {m.metric: m.value for m in lead_metric_calls({"p": CHANCE, "rank": -CHANCE}, leads)}
    assert both["auc"] == metrics.auc(BOUGHT, -CHANCE)
    assert both["log_loss"] == metrics.log_loss(BOUGHT, CHANCE)
    alone = {m.metric: m.value for m in lead_metric_calls({"p": CHANCE}, leads)}
    assert alone["auc"] == metrics.auc(BOUGHT, CHANCE)
    ranked = {m.metric: m.value for m in lead_metric_calls({"rank": CHANCE}, leads)}
    assert ranked == {key: alone[key] for key in ("auc", "lift_10")}
    assert lead_metric_calls({}, leads) == []
    assert lead_metric_calls({"rank": np.r_[CHANCE[:-1], np.nan]}, leads) == []


INTERVALS = {
    "below_interval",
    "above_interval",
    *(f"coverage_fifth_{number}" for number in range(1, 6)),
}


def test_clv() -> None:
    y, p = SPEND, CLV
    rows = pd.DataFrame({"spend": y})
    found = values("clv", {"clv": p}, rows)
    names = ("mae", "rmse", "tweedie", "bias_pct", "spearman", "gini", "top10", "decile_error")
    assert found == {
        "rate": p.mean(),
        **{name: getattr(metrics, name)(y, p) for name in names},
    }
    ends = {"clv_low": 0.5 * p, "clv_high": 1.5 * p}
    more = values("clv", {"clv": p, **ends}, rows)
    inside = (0.5 * p <= y) & (y <= 1.5 * p)
    by_fifth = np.array_split(inside[np.argsort(p, kind="stable")], 5)
    assert [more[f"coverage_fifth_{n}"] for n in range(1, 6)] == pytest.approx(
        [rows.mean() for rows in by_fifth], abs=2 / N
    )
    assert more["coverage"] + more["below_interval"] + more["above_interval"] == pytest.approx(1.0)
    assert {name: more[name] for name in set(more) - set(found) - INTERVALS} == {
        "coverage": metrics.coverage(y, 0.5 * p, 1.5 * p),
        "width_ratio": metrics.width_ratio(y, 0.5 * p, 1.5 * p),
    }
    nothing = values("clv", {"clv": p, **ends}, pd.DataFrame({"spend": np.zeros(N)}))
    assert set(nothing) == {"mae", "rmse", "rate", "coverage", *INTERVALS}


def test_stage() -> None:
    p = RNG.dirichlet([1, 2, 3], N)
    truth = RNG.integers(0, 3, N)
    rows = pd.DataFrame({"truth_code": truth.astype(float)})
    said = np.roll(truth, 1)
    assert values("stage", {"probabilities": p, "code": said}, rows) == pytest.approx(
        {
            "log_loss": metrics.multiclass_log_loss(truth, p),
            "brier": metrics.multiclass_brier(truth, p),
            "macro_f1": metrics.macro_f1(truth, said),
        },
        nan_ok=True,
    )
    likeliest = values("stage", {"probabilities": p}, rows)
    assert likeliest["macro_f1"] == pytest.approx(
        metrics.macro_f1(truth, p.argmax(axis=1)), nan_ok=True
    )


def test_transition() -> None:
    # Two stages, three periods; the last column is "no change".
    cif = np.cumsum(RNG.dirichlet(np.ones(7), N)[:, :6].reshape(N, 2, 3), axis=2)
    p = np.column_stack([cif[:, :, -1], 1 - cif[:, :, -1].sum(axis=1)])
    period = RNG.integers(0, 4, N)
    stage = np.where(period > 0, RNG.integers(0, 2, N), -1)
    rows = pd.DataFrame({"period": period.astype(float), "next_code": stage.astype(float)})
    found = values("transition", {"probabilities": p}, rows)
    truth = np.where(period > 0, stage, 2)
    assert found == pytest.approx(
        {
            "log_loss": metrics.multiclass_log_loss(truth, p),
            "brier": metrics.multiclass_brier(truth, p),
            "top1_movers": metrics.top1_movers(p[:, :2], stage, period),
            "rate": 1 - p[:, 2].mean(),
        }
    )
    more = values("transition", {"probabilities": p, "cif": cif}, rows)
    by_period = np.swapaxes(cif, 1, 2)
    assert {name: more[name] for name in set(more) - set(found)} == {
        "integrated_brier": metrics.integrated_brier(by_period, stage, period),
        "median_time_mae": metrics.median_time_mae(by_period.sum(axis=2), period),
    }


def test_the_least_spend_has_a_ranking_and_none_has_not() -> None:
    out = {"clv": CLV, "clv_low": CLV - 1, "clv_high": CLV + 1}
    little = np.zeros(N)
    little[0] = 0.5
    ranked = {"bias_pct", "spearman", "gini", "top10", "decile_error", "width_ratio"}
    assert ranked <= set(values("clv", out, pd.DataFrame({"spend": little})))
    nothing = values("clv", out, pd.DataFrame({"spend": np.zeros(N)}))
    assert set(nothing) == {"mae", "rmse", "rate", "coverage", *INTERVALS}


def test_the_loss_of_an_amount_is_its_share_of_the_tweedie_deviance() -> None:
    rows = pd.DataFrame({"spend": np.append(SPEND, -3.0)})
    clv = np.append(CLV, 0.0)  # a prediction of nothing counts as a thousandth of the mean
    losses = TASKS["clv"].losses({"clv": clv}, rows)
    assert losses.min() >= 0
    assert losses.mean() == pytest.approx(metrics.tweedie(rows["spend"], clv))
    nothing = TASKS["clv"].losses({"clv": clv}, rows * 0.0)
    assert (nothing == 0).all()
