"""The truth of a simulation beside the models: read for the right customers, compared rightly."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.calendar import day_number
from features.errors import UserError
from flows.services.oracle_bounds import oracle_gaps, oracle_page
from simulator import simulate
from simulator.ground_truth_reader import HiddenTruth

AT = day_number(dt.date(2024, 4, 1))


@pytest.fixture(scope="module", params=["reference", "btyd"])
def simulation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    simulate.simulate(request.param, customers=400, seed=2, output=folder)
    return folder / "truth"


def test_expectations_are_those_of_the_date_and_horizon(simulation: Path) -> None:
    truth = HiddenTruth(simulation)
    rows = truth.expectations(AT, 91)
    assert rows is not None
    written = pd.read_parquet(simulation / "snapshots")
    mine = written[written["snapshot_at"] == dt.date(2024, 4, 1)].set_index("customer_id")
    pd.testing.assert_series_equal(rows["expected_spend"], mine["expected_spend"])
    assert truth.expectations(AT + 1, 91) is None
    assert truth.expectations(AT, 60) is None


def test_latents_are_those_of_the_day_and_in_the_order_asked_for(simulation: Path) -> None:
    truth = HiddenTruth(simulation)
    customers = pd.Series(["C00000005", "nobody", "C00000001"])
    found = truth.latents(AT, customers)
    alone = truth.latents(AT, pd.Series(["C00000001"]))
    np.testing.assert_array_equal(found.iloc[2], alone.iloc[0])
    assert found["latent__order_value"].isna().tolist() == [False, True, False]
    if (simulation / "states").is_dir():
        path = pd.read_parquet(simulation / "states").query("customer_id == 'C00000005'")
        past = path[pd.to_datetime(path["from_at"]) <= "2024-04-01"]
        since = (pd.Timestamp("2024-04-01") - pd.to_datetime(past["from_at"].iloc[-1])).days
        assert found["latent__days_in_state"].iloc[0] == since


def test_a_folder_without_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no customers"):
        HiddenTruth(tmp_path)


def record(method: str, value: float, metric: str = "auc") -> dict[str, object]:
    return {
        "model": "churn",
        "snapshot_at": "2024-04-01",
        "metric": metric,
        "method": method,
        "subset": "all",
        "value": value,
        "n": 50,
    }


def test_the_way_reached_goes_from_the_best_baseline_to_the_best_possible() -> None:
    values = {"champion": 0.74, "rfm": 0.70, "recency": 0.60, "latent_truth": 0.90}
    row = oracle_gaps([record(method, value) for method, value in values.items()])[0]
    assert (row["baseline"], row["n"]) == ("rfm", 50)
    assert row["reached"] == pytest.approx(0.2)
    row = oracle_gaps([record(m, v) for m, v in {**values, "posterior": 0.75}.items()])[0]
    assert row["reached"] == pytest.approx(0.8)


def test_a_loss_is_better_when_smaller_and_no_bound_gives_no_way() -> None:
    losses = {"champion": 0.5, "rfm": 0.6, "latent_truth": 0.4}
    row = oracle_gaps([record(method, value, "log_loss") for method, value in losses.items()])[0]
    assert row["reached"] == pytest.approx(0.5)
    row = oracle_gaps([record("champion", 0.5, "log_loss"), record("rfm", 0.6, "log_loss")])[0]
    assert row["reached"] is None
    assert "0.5" in oracle_page([record("champion", 0.5, "log_loss")])
