"""Differencing attacks: what two nights that differ by one person tell about that person."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.metrics.stage_metrics import FEWEST
from features.storage.runs import PublishedRun
from flows.assistant.population import ALL, DIVISIONS, forecast, stage_sizes

CUSTOMERS, TRIED = 700, 60


def crowd() -> pd.DataFrame:
    random = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "stage": random.choice(["lapsed", "retention"], CUSTOMERS, p=[0.6, 0.4]),
            "value_tier": random.choice(["top", "mid", "low"], CUSTOMERS),
            "churn_band": random.choice(["high", "low"], CUSTOMERS),
            "p_churn": random.uniform(0, 1, CUSTOMERS),
            "clv": random.gamma(2.0, 40.0, CUSTOMERS),
        }
    )


def night(output: Path, scores: pd.DataFrame) -> dict[tuple[str, str, str], Any]:
    """Every figure that can be asked of one night, by division, group and name."""
    scores.to_parquet(output / "scores.parquet")
    run = PublishedRun.model_construct(
        snapshot_at=dt.date(2021, 3, 1), score_files=("scores.parquet",)
    )
    figures: dict[tuple[str, str, str], Any] = {}
    for row in stage_sizes(output, run)["stages"]:
        figures["sizes", row["stage"], "customers"] = row["customers"]
    for by in (ALL, *DIVISIONS):
        content = forecast(output, run, by)
        for row in [{"group": ALL, **content["all"]}, *content.get("groups", [])]:
            figures |= {(by, row["group"], name): row[name] for name in row if name != "group"}
    return figures


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Any]]:
    """Figures with everyone, and those of other nights, from each of which one person is gone."""
    folder, everyone = tmp_path_factory.mktemp("nights"), crowd()
    others = [night(folder, everyone.drop(index=person)) for person in range(TRIED)]
    return night(folder, everyone), others


def test_counts_of_two_nights_differ_by_whole_groups_or_not_at_all(nights: Any) -> None:
    before, others = nights
    shown = 0
    for after in others:
        for key, count in before.items():
            if key[2] == "customers" and count is not None and after[key] is not None:
                shown += 1
                assert (count - after[key]) % FEWEST == 0
    assert shown > 5 * TRIED


def test_means_of_two_nights_are_equal_or_one_step_of_rounding_apart(nights: Any) -> None:
    """What is left to an attacker: on which side of a value the person was, now and then.

    The value of the person itself cannot be computed: it would need digits that no answer has.
    """
    before, others = nights
    means = [key for key, value in before.items() if key[2] in ("clv", "p_churn") and value]
    assert len(means) >= 6
    unchanged = []
    for key in means:
        step = 10.0 ** (math.floor(math.log10(before[key])) - 1)
        for after in others:
            change = abs(before[key] - after[key])
            assert change == pytest.approx(0.0) or change == pytest.approx(step), key
            unchanged.append(change == 0.0)
    assert np.mean(unchanged) > 0.8
