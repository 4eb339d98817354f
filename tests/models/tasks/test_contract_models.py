"""Churn and CLV of contracts: what their model changes, and that nothing changes without them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from models.baselines import clv_baselines
from models.metrics import metrics
from models.scorer.churn import METHODS, predict_churn
from models.scorer.clv import clv_context, clv_sums, predict_clv
from models.scorer.clv_shapes import SHAPES
from models.scorer.derived_features import population_context, population_sums
from models.scorer.part import Part
from models.tasks.churn import fit_churn
from models.tasks.clv import fit_clv, predict_snapshot
from tests.contract_frames import contract_columns, members
from tests.models.tasks import test_churn as plain_churn
from tests.purchase_frames import HORIZON, START, histories, rolling

LAST = 700
PLAIN_METHODS = tuple(name for name in METHODS if name != "contract")
PLAIN_SHAPES = tuple(name for name in SHAPES if name != "contract")


@pytest.fixture(scope="module")
def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labelled rows of contract customers: training snapshots, and the last one."""
    population = members(900, seed=7, days=LAST + HORIZON, trials=0.2, returns=0.1)
    customers = {f"c{number:04d}": member.payments for number, member in enumerate(population)}

    def with_contracts(rows: pd.DataFrame) -> pd.DataFrame:
        snapshots = []
        for stamp, part in rows.groupby("snapshot_at", sort=True):
            at = (stamp - START).days
            cancelled = [any(at <= d < at + HORIZON for d in m.cancels) for m in population]
            columns = contract_columns(population, at).set_index(part.index)
            churn = {
                "no_purchase": np.array(cancelled, dtype=np.float64),
                "stage__code": 0.0,
                "cadence__span_days": part["btyd__t_x"],
                "cadence__days": part["purchase__days_all"],
                "cancel__recency_days": columns["contract__age"] - columns["contract__length"],
            }
            snapshots.append(pd.concat([part, columns], axis=1).assign(**churn))
        return pd.concat(snapshots, ignore_index=True)

    train, test = rolling(customers, last=LAST, snapshots=8)
    return with_contracts(train), with_contracts(test)


def context_of(frame: pd.DataFrame) -> dict[str, object]:
    return population_context(population_sums(frame))


def under_contract(frame: pd.DataFrame) -> pd.DataFrame:
    recent = frame["purchase__recency_days"] <= 45
    return frame[recent & frame["contract__length"].isna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def churn_part(frames) -> Part:
    train, test = frames
    snapshots = dict(list(train.groupby("snapshot_at")))
    return fit_churn(
        under_contract(train),
        {at: context_of(rows) for at, rows in snapshots.items()},
        validation_at=train["snapshot_at"].max(),
        horizon_days=HORIZON,
        activity_days=45,
        by="cancel",
        purchase_counts=snapshots,
        at_origin=test,
        recipe=plain_churn.QUICK,
        seed=1,
        threads=1,
    )


@pytest.fixture(scope="module")
def clv_part(frames) -> Part:
    train, test = frames
    origin = test.drop(columns=["spend", "orders", "label_end_at"])
    return fit_clv(
        train, {}, at_origin=origin, validation_at=train["snapshot_at"].max(),
        horizon_days=HORIZON, seed=1, threads=1,
    )  # fmt: skip


def test_the_churn_of_contracts_has_their_model_as_a_candidate(churn_part, frames):
    report, rows = churn_part.parameters["report"], under_contract(frames[1])
    assert report["log_losses"]["contract"] < report["log_losses"]["btyd"]
    assert report["weights"].get("contract", 0.0) > 0
    risk = predict_churn(churn_part, rows, context_of(frames[1]))["p_churn"]
    target = rows["no_purchase"].to_numpy()
    assert metrics.log_loss(target, risk) < 1.01 * metrics.log_loss(
        target, np.full(len(rows), target.mean())
    )


def test_the_value_of_contracts_is_not_worse_than_any_baseline(clv_part, frames):
    train, test = frames
    spend = test["spend"].to_numpy()
    served = metrics.rmse(spend, predict_snapshot(clv_part, test)["clv"])
    for other in (
        clv_baselines.contract_payments(clv_part, test),
        clv_baselines.btyd_spend(clv_part, test),
        clv_baselines.repeat_spend(test, HORIZON),
        clv_baselines.mean_spend(train, test),
    ):
        assert served < 1.02 * metrics.rmse(spend, other["clv"])
    assert clv_part.parameters["contract"]["trial"]["conversion"] == pytest.approx(0.6, abs=0.15)


def test_parts_are_json_and_rows_are_scored_alone(churn_part, clv_part, frames):
    test = frames[1].iloc[:60]
    for part in (churn_part, clv_part):
        assert json.loads(json.dumps(part.parameters))["contract"] == part.parameters["contract"]
    context = {**context_of(test), **clv_context(clv_part, clv_sums(clv_part, test))}
    for predict, part, column in (
        (predict_churn, churn_part, "p_churn"),
        (predict_clv, clv_part, "clv"),
    ):
        whole = predict(part, test, context)[column]
        alone = [predict(part, test.iloc[[i]], context)[column][0] for i in range(len(test))]
        np.testing.assert_array_equal(whole, alone)


def test_without_contracts_churn_is_scored_to_the_bit_as_without_their_model(monkeypatch):
    purchases = plain_churn.history(500)
    rows = {at: plain_churn.feature_frame(purchases, at) for at in plain_churn.DATES}
    test = plain_churn.feature_frame(purchases, plain_churn.TEST_AT)

    def scores() -> np.ndarray:
        part = plain_churn.fit(
            pd.concat(rows.values(), ignore_index=True),
            {at: context_of(frame) for at, frame in rows.items()},
            purchase_counts=rows,
            at_origin=test,
        )
        assert part.parameters["contract"] is None
        return predict_churn(part, test, context_of(test))["p_churn"]

    with_model = scores()
    for module in ("models.tasks.churn", "models.fitting.churn_methods"):
        monkeypatch.setattr(f"{module}.METHODS", PLAIN_METHODS)
    np.testing.assert_array_equal(with_model, scores())


def test_without_contracts_clv_is_scored_to_the_bit_as_without_their_model(monkeypatch):
    train, test = rolling(histories(11, n=500))

    def scores() -> dict[str, np.ndarray]:
        origin = test.drop(columns=["spend", "orders", "label_end_at"])
        part = fit_clv(
            train, {}, at_origin=origin, validation_at=train["snapshot_at"].max(),
            horizon_days=HORIZON, seed=5, threads=1,
        )  # fmt: skip
        assert part.parameters["contract"] is None
        return predict_snapshot(part, test)

    with_model = scores()
    monkeypatch.setattr("models.fitting.clv_blend.SHAPES", PLAIN_SHAPES)
    for name, values in scores().items():
        np.testing.assert_array_equal(with_model[name], values)
