"""The global hold-out over months: the same customers are held out, each counts once in total."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pandas as pd

from features.config.customers import GlobalHoldout
from flows.services.programme import global_entries, is_month, months_as_groups

THROUGH = pd.Timestamp("2024-03-20")


def entries(holdout: GlobalHoldout | None) -> pd.DataFrame:
    """A shop of two runs a month, with a new customer a run."""
    days = [dt.date(2024, month, day) for month in (1, 2, 3) for day in (5, 19)]
    runs: list[Any] = [SimpleNamespace(snapshot_at=day) for day in days]
    config: Any = SimpleNamespace(
        name="shop", seed=1, contact_policy=SimpleNamespace(global_holdout=holdout)
    )

    def scores_of(run: Any) -> pd.DataFrame:
        names = [f"c{i}" for i in range(400 + days.index(run.snapshot_at))]
        return pd.DataFrame({"stage": "active", "clv": 1.0}, index=pd.Index(names))

    return global_entries(runs, config, THROUGH, scores_of)


def test_everybody_counts_once_in_total_and_once_a_month_in_one_arm() -> None:
    rows = entries(GlobalHoldout(share=0.3, until=dt.date(2024, 12, 31)))
    total, months = rows[~is_month(rows["campaign_id"])], rows[is_month(rows["campaign_id"])]
    assert total["customer_id"].is_unique
    assert len(total) == 404  # first runs of the months: 400, 402 and 404 customers
    assert list(months.groupby("campaign_id").size()) == [400, 402, 404]
    assert (rows.groupby("customer_id")["arm"].nunique() == 1).all()
    assert 0.2 < (total["arm"] == "control").mean() < 0.4
    first = total.iloc[0]
    assert first["entered_at"] + pd.Timedelta(days=int(first["within_days"]) - 1) == THROUGH
    # March is not over.
    matured = months.loc[months["matures_at"] <= THROUGH, "campaign_id"]
    assert sorted(set(matured)) == ["global_holdout/2024-01", "global_holdout/2024-02"]


def test_the_hold_out_ends_on_its_last_day() -> None:
    rows = entries(GlobalHoldout(share=0.3, until=dt.date(2024, 2, 10)))
    assert rows["matures_at"].max() == pd.Timestamp("2024-02-10")
    assert entries(None).empty


def test_months_are_groups_of_the_global_hold_out() -> None:
    effects = pd.DataFrame(
        {
            "campaign_id": ["global_holdout", "global_holdout/2024-01", "win_back"],
            "by": "all",
            "group_name": "all",
        }
    )
    named = months_as_groups(effects)
    assert list(named["campaign_id"]) == ["global_holdout", "global_holdout", "win_back"]
    assert list(named["by"]) == ["all", "month", "all"]
    assert list(named["group_name"]) == ["all", "2024-01", "all"]
