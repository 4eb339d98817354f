"""Measured effects in the report: lines, sentences and the chart over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from campaigns.measurement import CampaignEntries, campaign_effects
from flows.report.result_figures import (
    result_rows,
    result_sentences,
    results_figure,
    results_over_time,
)
from flows.services.measurement_files import read_effects, read_history, write_measurement

PLAN = pd.DataFrame({"campaign_id": ["back"], "title": ["Win-back"]})


def effects(seed: int, people: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    treated = rng.random(people) < 0.7
    revenue = (rng.random(people) < 0.3 + 0.2 * treated) * rng.lognormal(3, 0.5, people)
    rows = pd.DataFrame(
        {
            "campaign_id": "back", "entered_at": pd.Timestamp("2024-01-01"),
            "arm": np.where(treated, "treatment", "control"), "channel": "email",
            "stage": "lapsed", "control_share": 0.3, "matures_at": pd.Timestamp("2024-02-01"),
            "response": (revenue > 0).astype(float), "revenue": revenue, "margin": 0.4 * revenue,
        }
    )  # fmt: skip
    return campaign_effects(CampaignEntries(rows, pd.Timestamp("2024-03-01")), seed=1)


def test_results_are_kept_by_day_and_read_back(tmp_path: Path) -> None:
    nothing = pd.DataFrame({"note": []})
    assert read_effects(tmp_path).empty
    assert result_rows(read_effects(tmp_path), PLAN, "EUR") == []
    assert results_over_time(read_history(tmp_path), PLAN).empty
    for day, seed in (("2024-03-01", 1), ("2024-03-02", 2), ("2024-03-02", 3)):
        write_measurement(tmp_path, effects(seed), nothing, nothing, through=pd.Timestamp(day))
    over_time = results_over_time(read_history(tmp_path), PLAN)
    assert list(over_time["measured_at"]) == ["2024-03-01", "2024-03-02"]
    last = effects(3)
    profit = last[(last["by"] == "all") & (last["outcome"] == "profit")].iloc[0]
    assert np.isclose(over_time["total"].iloc[1], profit["incremental_total"])
    chart = results_figure(over_time, "EUR")
    assert chart.choices() == ["Win-back"]
    assert chart.spec()["layer"]
    assert list(chart.table.frame(chart.data)["high"]) == list(over_time["high"])


def test_lines_begin_with_whole_campaigns_and_have_a_sentence_each(tmp_path: Path) -> None:
    nothing = pd.DataFrame({"note": []})
    write_measurement(tmp_path, effects(1), nothing, nothing, through=pd.Timestamp("2024-03-01"))
    lines = result_rows(read_effects(tmp_path), PLAN, "EUR")
    assert [row["group"] for row in lines] == (
        [""] * 3 + ["channel email"] * 3 + ["stage lapsed"] * 3
    )
    assert lines[0]["sentence"].startswith("Win-back brought about ")
    assert lines[3]["sentence"].startswith("Win-back (channel email) brought about ")
    (sentence,) = result_sentences(read_effects(tmp_path), PLAN, "EUR")
    assert sentence.startswith("Win-back earned about ")
