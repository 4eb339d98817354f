"""Churn of contracts told as small tables: who is under one at March 16, and who cancels it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.calendar import day_number
from features.errors import UserError
from features.table.snapshot_builder import Builder
from models.scorer.churn import churn_eligible
from models.scorer.clv import clv_margin
from models.scorer.part import Part
from tests.oracles.histories import Event, builder, local

AT = day_number(dt.date(2021, 3, 16))
ROLES = {"cancel": ("cancelled", "payment_failed")}


def purchase(who: str, date: str) -> Event:
    return Event(who, "purchase", local(date), amount=1000)


def cancel(who: str, date: str, kind: str = "cancelled", **more: object) -> Event:
    return Event(who, kind, local(date), **more)  # type: ignore[arg-type]


def contracts(folder: Path, **churn: object) -> Builder:
    """Everyone signed on March 1 and pays monthly; what else they did stands in their name."""
    events = [
        cancel("cancels", "2021-03-20"),
        cancel("cancels on the first day", "2021-03-16"),
        cancel("cancels after the horizon", "2021-03-23"),
        cancel("fails to pay", "2021-03-18", "payment_failed"),
        cancel("fails and cancels", "2021-03-18", "payment_failed"),
        cancel("fails and cancels", "2021-03-19"),
        cancel("had cancelled", "2021-03-10"),
        cancel("had cancelled the day of buying", "2021-03-01"),
        cancel("came back", "2021-03-05"),
        purchase("came back", "2021-03-08"),
        purchase("stays silent", "2021-02-01"),
        purchase("pays", "2021-03-20"),
    ]
    first = [purchase(who, "2021-03-01") for who in sorted({e.customer for e in events})]
    task = {"horizon_days": 7, "by": "cancel", **churn}
    return builder([*first, *events], folder / "e.csv", roles=ROLES, churn=task, activity_days=30)


EVERY_CANCEL = {
    "cancels": 1.0,
    "cancels on the first day": 1.0,
    "cancels after the horizon": 0.0,
    "fails to pay": 1.0,
    "fails and cancels": 1.0,
    "came back": 0.0,
    "stays silent": 0.0,
    "pays": 0.0,
}


@pytest.mark.parametrize(
    ("churn", "truth"),
    [
        ({}, EVERY_CANCEL),
        ({"involuntary": ("payment_failed",)}, {**EVERY_CANCEL, "fails to pay": 0.0}),
    ],
)
def test_cancels_and_not_silence_are_churn(
    tmp_path: Path, churn: dict[str, object], truth: dict[str, float]
) -> None:
    labels = contracts(tmp_path, **churn).labels("churn", AT)
    assert labels.set_index("customer_id")["no_purchase"].to_dict() == truth


def test_features_and_inference_agree_on_who_is_under_contract(tmp_path: Path) -> None:
    features = contracts(tmp_path).features(AT)
    told = features["churn_eligible"].to_numpy()
    assert set(features.loc[told, "customer_id"]) == set(EVERY_CANCEL)
    np.testing.assert_array_equal(churn_eligible(features, 30, by="cancel"), told)
    # Without contracts, all of them bought recently enough.
    assert churn_eligible(features, 30).all()


def test_a_cancellation_learned_late_counts_from_then_on(tmp_path: Path) -> None:
    late = cancel("late", "2021-03-10", known=local("2021-03-20"))
    build = builder(
        [purchase("late", "2021-03-01"), late, cancel("other", "2021-03-02")],
        tmp_path / "e.csv",
        roles=ROLES,
        churn={"horizon_days": 7, "by": "cancel"},
        activity_days=30,
    )
    assert build.labels("churn", AT)["customer_id"].tolist() == ["late"]
    later = AT + 7
    assert "late" not in build.labels("churn", later)["customer_id"].tolist()


@pytest.mark.parametrize(
    "churn",
    [{"by": "cancel", "involuntary": ["purchase"]}, {"involuntary": ["payment_failed"]}],
)
def test_involuntary_types_are_cancels_and_need_contracts(
    tmp_path: Path, churn: dict[str, object]
) -> None:
    events = [purchase("one", "2021-03-01")]
    with pytest.raises((UserError, ValueError), match="involuntary"):
        builder(events, tmp_path / "e.csv", roles=ROLES, churn=churn)


def test_a_margin_makes_a_second_figure() -> None:
    frame = pd.DataFrame({"clv": [100.0]})
    for margin, expected in ((0.3, 30.0), (None, np.nan)):
        part = Part("clv", {"margin": margin})
        np.testing.assert_equal(clv_margin(part, frame["clv"].to_numpy()), [expected])
