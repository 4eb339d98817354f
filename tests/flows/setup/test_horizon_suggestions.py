"""Horizons from gaps: hand-made silences, a naive count, and suggestions that run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from features.aggregates.daily_aggregates import tally
from features.calendar import day_number
from features.config import config as configs
from features.errors import UserError
from features.history.order_spells import Spells
from features.table.snapshot_builder import Builder
from flows.commands.cli import app
from flows.setup.horizon_plots import return_figure, return_figure_data
from flows.setup.horizon_suggestions import gap_quantiles, return_curve, suggest_horizons

FIRST = dt.date(2022, 1, 1)
BASE = """\
name: made-up
sources:
  - events: orders.csv
    columns: {customer_id: who, occurred_at: {column: day, as: local_date}, value: amount}
    event_type: purchase
stages: {file: stages/recency_frequency.yaml}
"""


def shop(folder: Path, days: dict[str, list[int]], *, amount: float = 10.0) -> Builder:
    """A shop whose customers bought on some days after the first."""
    rows = [
        (who, (FIRST + dt.timedelta(days=day)).isoformat(), amount)
        for who, bought in days.items()
        for day in bought
    ]
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=["who", "day", "amount"]).to_csv(folder / "orders.csv", index=False)
    (folder / "shop.yaml").write_text(BASE)
    config = configs.load(folder / "shop.yaml")
    latest = day_number(dt.date(2030, 1, 1))
    tallies, _ = tally(config, latest=latest, quarantine=folder / "quarantine")
    return Builder.from_tallies(config, tallies)


def spells_of(builder: Builder) -> Spells:
    return Spells.of(builder.history, builder.last_snapshot)


def silences(customers: int = 200, days: int = 500, seed: int = 0) -> dict[str, list[int]]:
    """Customers who buy about once a fortnight until most of them leave."""
    random = np.random.default_rng(seed)
    found = {}
    for number in range(customers):
        leave, day, bought = random.exponential(120), int(random.integers(0, 60)), []
        begin = day
        while day < days and (not bought or day - begin < leave):
            bought.append(day)
            day += int(random.integers(1, 27))
        found[f"c{number:03d}"] = bought
    found["c000"] = sorted({*found["c000"], days - 1})  # the data reach this day
    return found


def test_silences_are_closed_by_a_purchase_or_still_open(tmp_path: Path) -> None:
    spells = spells_of(shop(tmp_path, {"a": [0, 3, 10], "b": [4], "c": [10]}))
    assert spells.days.tolist() == [3, 7, 0, 6, 0]
    assert spells.closed.tolist() == [True, True, False, False, False]
    assert spells.history_days == 11


def test_the_curve_counts_those_watched_long_enough(tmp_path: Path) -> None:
    # With nobody's silence cut off by the end, the estimate is the plain share.
    days = {f"c{i}": [0, 5, 11, 31] for i in range(40)} | {"z": [0, 400]}
    curve = return_curve(spells_of(shop(tmp_path, days))).set_index("days")
    # gaps 5, 6, 20 (40 of each), one of 400; the last silences are open for 369 days.
    assert curve.loc[5, "share"] == pytest.approx(40 / (40 + 40 + 1 + 40))
    assert curve.loc[3, "share"] == pytest.approx(80 / 161)
    assert curve.loc[10, "share"] == pytest.approx(40 / 81)
    assert curve.loc[20, "share"] == 0.0
    assert curve.loc[5, "n"] == 121


def test_the_curve_equals_a_naive_kaplan_meier_estimate(tmp_path: Path) -> None:
    spells = spells_of(shop(tmp_path, silences(60)))
    curve = return_curve(spells).set_index("days")
    rows = list(zip(spells.days.tolist(), spells.closed.tolist(), strict=True))
    for limit in (1, 4, 9, 14, 40, 90):
        staying = 1.0
        for day in range(limit + 1, 2 * limit + 1):
            at_risk = sum(days >= day for days, _ in rows)
            ended = sum(days == day and closed for days, closed in rows)
            staying *= 1 - ended / at_risk if at_risk else 1
        assert curve.loc[limit, "share"] == pytest.approx(1 - staying)
        assert curve.loc[limit, "n"] == sum(days > limit for days, _ in rows)
        watched = sum(days >= 2 * limit for days, _ in rows)
        assert curve.loc[limit, "judged"] == (watched >= 30)


def test_every_customer_counts_alike_in_their_quantiles(tmp_path: Path) -> None:
    # One buys on 100 days in a row, three have one gap of 50 days.
    days = {"a": list(range(101)), "b": [0, 50], "c": [1, 51], "d": [2, 52]}
    found = gap_quantiles(spells_of(shop(tmp_path, days))).set_index("quantile")
    assert found["pooled"].tolist() == [1, 1, 1, 1, 1, 1]
    assert found["per_customer"].tolist() == [1, 1, 50, 50, 50, 50]


def test_lapse_is_where_hardly_anybody_comes_back(tmp_path: Path) -> None:
    builder = shop(tmp_path, silences())
    spells = spells_of(builder)
    found = suggest_horizons(spells, builder.history, builder.last_snapshot)
    curve = return_curve(spells)
    judged = curve[curve["judged"]]
    after = judged[judged["days"] >= found.by_return]
    assert (after["share"] < 0.10).all()
    assert judged.set_index("days").loc[found.by_return - 1, "share"] >= 0.10
    assert found.lapse_days == -(-found.by_return // 7) * 7
    assert found.by_return <= 26  # no gap is longer


def test_the_literal_smallest_day_is_not_taken(tmp_path: Path) -> None:
    # Everybody buys every 30 days: after one silent day nobody buys the next day, and still no
    # one has lapsed.
    days = {f"c{i}": list(range(i % 30, 300 if i % 2 else 150, 30)) for i in range(100)}
    builder = shop(tmp_path, days)
    found = suggest_horizons(spells_of(builder), builder.history, builder.last_snapshot)
    assert found.by_return == 30


@pytest.mark.parametrize("history", [45, 60, 100, 400])
def test_the_suggestion_runs_as_pasted(tmp_path: Path, history: int) -> None:
    shop(tmp_path, silences(80, history))
    result = CliRunner().invoke(
        app,
        ["horizons", "--config", str(tmp_path / "shop.yaml"), "--output", str(tmp_path / "out")],
    )
    assert result.exit_code == 0, result.output
    pasted = result.output[result.output.index("\nstages:") :]
    before = BASE[: BASE.index("stages:")]
    (tmp_path / "pasted.yaml").write_text(before + pasted)
    config = configs.load(tmp_path / "pasted.yaml")
    tallies, _ = tally(config, latest=day_number(dt.date(2030, 1, 1)), quarantine=tmp_path / "q")
    builder = Builder.from_tallies(config, tallies)
    needed = builder.needed_days()  # no task finds the history too short
    frame = builder.features(needed[-1])
    assert len(frame) > 0
    assert config.churn.horizon_days <= builder.taxonomy.parameters["L"]
    assert (tmp_path / "out" / "horizons.png").stat().st_size > 10_000


def test_a_taxonomy_of_ones_own_keeps_its_name(tmp_path: Path) -> None:
    shop(tmp_path, silences(80))
    result = CliRunner().invoke(
        app,
        [
            "horizons", "--config", str(tmp_path / "shop.yaml"), "--output", str(tmp_path),
            "--json", str(tmp_path / "h.json"), "--set", "stages.file=stages/omnisend.yaml",
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    block = yaml.safe_load((tmp_path / "h.json").read_text())["config"]["stages"]
    assert block["file"] == "stages/omnisend.yaml"
    assert sorted(block["params"]) == ["K", "L", "W"]


@pytest.mark.parametrize(
    ("days", "words"),
    [
        ({f"c{i}": [i] for i in range(200)}, "none with two purchase days"),
        ({"a": [0, 1], "b": [1]}, "2 days of purchases"),
        ({"a": [0, 30]}, "31 days of purchases"),
    ],
)
def test_odd_data_get_a_clear_message(
    tmp_path: Path, days: dict[str, list[int]], words: str
) -> None:
    builder = shop(tmp_path, days)
    with pytest.raises(UserError, match=words):
        suggest_horizons(spells_of(builder), builder.history, builder.last_snapshot)


def test_refunds_alone_are_no_purchases(tmp_path: Path) -> None:
    builder = shop(tmp_path, {"a": [0, 30, 90]}, amount=-5.0)
    with pytest.raises(UserError, match="no purchases"):
        spells_of(builder)


def test_the_figure_draws_its_data(tmp_path: Path) -> None:
    builder = shop(tmp_path, silences(80))
    spells = spells_of(builder)
    found = suggest_horizons(spells, builder.history, builder.last_snapshot)
    data = return_figure_data(spells, found)
    axes = return_figure(spells, found).axes[0]
    for number, line in enumerate(("returning", "gaps")):
        rows = data[data["line"] == line]
        assert axes.lines[number].get_xdata().tolist() == rows["days"].tolist()
        assert axes.lines[number].get_ydata().tolist() == rows["share"].tolist()
    assert data.loc[data["line"] == "suggested", "days"].tolist() == [found.lapse_days]
