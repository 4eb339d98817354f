"""Large files: a trial on some customers, and totals of all rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.sources.events import connect
from flows.setup import large_tables
from flows.setup.config_mapping import config_mapping
from flows.setup.table_profiling import profile_table
from flows.setup.table_roles import assemble
from flows.setup.trial_reading import Trial, read_trial

CUSTOMERS = 60


def shop() -> pd.DataFrame:
    rows = 60 * CUSTOMERS
    draw = np.random.default_rng(3)
    days = pd.Timestamp("2022-03-01") + pd.to_timedelta(np.sort(draw.integers(0, 700, rows)), "D")
    return pd.DataFrame(
        {
            "order_id": [f"o{number}" for number in range(rows)],
            "customer_id": [f"c{number}" for number in draw.integers(0, CUSTOMERS, rows)],
            "ordered_at": days.strftime("%Y-%m-%d %H:%M:%S"),
            "status": np.where(np.arange(rows) % 9 == 0, "cancelled", "completed"),
            "amount": draw.integers(500, 9000, rows) / 100,
        }
    )


def trial(folder: Path, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, large: int) -> Trial:
    """A trial where files above so many bytes are large, and 10 customers are enough."""
    rows.to_csv(folder / "orders.csv", index=False)
    for name, value in {
        "_LARGE_BYTES": large,
        "_SAMPLE_BYTES": 40_000,
        "_FEWEST_CUSTOMERS": 10,
    }.items():
        monkeypatch.setattr(large_tables, name, value)
    table = profile_table(connect(), str(folder / "orders.csv"))
    sources = assemble([table], zone="UTC", given={}).sources
    mapping = config_mapping(sources, folder / "made.yaml", "UTC", "shop")
    return read_trial(mapping, folder / "made.yaml", CUSTOMERS)


def test_totals_of_a_large_file_are_those_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trial(tmp_path, shop(), monkeypatch, 10**9)
    part = trial(tmp_path, shop(), monkeypatch, 1_000)
    assert (whole.share, part.share) == (1, 4)
    assert part.totals == whole.totals
    assert part.tallies.daily.num_rows < whole.tallies.daily.num_rows / 2
    assert "1 customer in 4" in part.reports[0].source


def test_totals_that_one_pass_cannot_count_are_estimated_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = shop().assign(amount=lambda frame: "$" + frame["amount"].astype(str))
    whole, part = (trial(tmp_path, rows, monkeypatch, large) for large in (10**9, 1_000))
    assert "estimated from 1 customer in 4" in part.totals[0].source
    assert part.totals[0].orders == pytest.approx(whole.totals[0].orders, rel=0.6)


def test_few_customers_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = shop().assign(customer_id=lambda frame: "k" + (frame.index % 7).astype(str))
    monkeypatch.setattr("tests.flows.setup.test_large_tables.CUSTOMERS", 7)
    assert trial(tmp_path, rows, monkeypatch, 1_000).share == 1
