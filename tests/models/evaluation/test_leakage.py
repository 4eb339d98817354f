"""The alarm for leaks: a planted one is named, and honest features raise none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.evaluation.leakage import MIN_OUTCOMES, leak_suspects
from models.fitting.training_set import TrainingSet
from tests.models.tasks.test_churn import DATES, feature_frame, history
from tests.purchase_frames import histories, snapshot

NOISE = np.random.default_rng(5)


def churn() -> pd.DataFrame:
    return pd.concat([feature_frame(history(), at) for at in DATES], ignore_index=True)


def clv() -> pd.DataFrame:
    made = histories(3)
    return pd.concat([snapshot(made, at) for at in (240, 300, 360)], ignore_index=True)


def data(task: str, frame: pd.DataFrame) -> TrainingSet:
    labels = [c for c in ("no_purchase", "spend", "orders", "label_end_at") if c in frame]
    latest = frame[frame["snapshot_at"] == frame["snapshot_at"].max()].drop(columns=labels)
    return TrainingSet(task, 0, frame, {}, at_origin=latest, purchase_counts={})  # type: ignore[arg-type]


FRAMES = {"churn": (churn, "no_purchase"), "clv": (clv, "spend")}


@pytest.mark.parametrize("task", FRAMES)
def test_honest_features_raise_no_alarm(task: str) -> None:
    assert leak_suspects(data(task, FRAMES[task][0]())) == []


@pytest.mark.parametrize("task", FRAMES)
def test_planted_leaks_are_named_worst_first(task: str) -> None:
    make, outcome = FRAMES[task]
    frame = make()
    happened = frame[outcome] > 0
    frame["crm__closed"] = np.where(happened, np.nan, 3.0)  # filled in once the customer is gone
    frame["crm__last_touch_days"] = -happened * 2.0 + NOISE.normal(0, 0.7, len(frame))
    frame["crm__noise"] = NOISE.normal(0, 1, len(frame))
    found = leak_suspects(data(task, frame))
    assert [suspect.name for suspect in found] == ["crm__closed", "crm__last_touch_days"]
    assert found[0].auc == pytest.approx(1.0)
    assert 0.95 <= found[1].auc < 1.0
    assert task in str(found[0])
    assert "crm__closed" in str(found[0])


def test_that_who_has_cancelled_pays_nothing_is_no_leak() -> None:
    frame = clv()
    frame["purchase__recency_days"] = 10.0
    frame["cancel__recency_days"] = np.where(frame["spend"] > 0, np.nan, 3.0)
    assert "cancel__recency_days" not in [s.name for s in leak_suspects(data("clv", frame))]
    frame["purchase__recency_days"] = 2.0  # bought again since: the cancellation tells too much
    assert "cancel__recency_days" in [s.name for s in leak_suspects(data("clv", frame))]


def test_too_few_outcomes_and_rule_made_labels_are_left_alone() -> None:
    frame = churn()
    frame["x__days"] = frame["no_purchase"]
    assert leak_suspects(data("stage", frame)) == []
    latest = frame[frame["snapshot_at"] == frame["snapshot_at"].max()]
    few = latest.groupby("no_purchase").head(MIN_OUTCOMES - 1)
    assert leak_suspects(data("churn", few)) == []
