"""Acquisition payback against plain loops over leads, orders and refunds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.metrics.acquisition_payback import ALL_SOURCES, acquisition_payback
from flows.report.payback_figure import payback_figure, payback_sentences
from tests.oracles.test_metrics_oracle import Row, read, row

SPEND = {day: 3.0 + day % 5 for day in range(20, 300)}


def shop(seed: int) -> list[Row]:
    """Leads of two channels over a year, most of whom buy, and some of whom take it back."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(400):
        who, first = f"c{number:03}", int(rng.integers(0, 330))
        rows.append(row(who, first, "lead", channel="ads" if number % 2 else "friends"))
        for day in np.unique(rng.integers(first, 364, int(rng.integers(0, 5)))):
            amount = round(float(rng.uniform(5, 60)), 2)
            rows.append(row(who, int(day), "purchase", amount))
            if rng.random() < 0.1:
                rows.append(row(who, int(day) + 1, "refund", round(amount / 2, 2)))
    return rows


def plain(
    rows: list[Row], channel: str | None, at: int, margin: float
) -> list[tuple[int, int, float]]:
    """Months, leads and what has come back of each lead, by loops over the events."""
    first = {who: day for who, _, day, kind, *_ in rows if kind == "lead"}
    by = {who: channel for who, _, _, kind, _, _, channel in rows if kind == "lead"}
    leads = [
        who
        for who, day in first.items()
        if min(SPEND) <= day < at and (channel is None or by[who] == channel)
    ]
    months, returned = [], 0.0
    for month in range(24):
        watched = [who for who in leads if first[who] + 30 * (month + 1) <= at]
        if len(watched) < 30:
            break
        total = 0.0
        for who, _, day, kind, value, *_ in rows:
            begin = first[who] + 30 * month
            if who in watched and begin <= day < begin + 30 and kind in ("purchase", "refund"):
                total += (value or 0.0) if kind == "purchase" else -(value or 0.0)
        returned += margin * total / len(watched)
        months.append((month + 1, len(leads), returned))
    return months


@pytest.mark.parametrize(("source", "channel"), [(ALL_SOURCES, None), ("ads", "ads")])
def test_what_comes_back_is_that_of_a_plain_loop(
    tmp_path: Path, source: str, channel: str | None
) -> None:
    rows = shop(1)
    inputs = read(tmp_path, rows, spend=SPEND)
    at = inputs.builder.last_snapshot
    table = acquisition_payback(inputs, at, margin=0.5)
    assert set(table["source"]) == {ALL_SOURCES, "ads"}  # friends cost nothing
    found = table[table["source"] == source]
    expected = plain(rows, channel, 365, 0.5)
    assert list(zip(found["months"], found["leads"], strict=True)) == [e[:2] for e in expected]
    assert found["returned"].to_numpy() == pytest.approx([e[2] for e in expected])
    assert found["cost"].iloc[0] == pytest.approx(sum(SPEND.values()))
    shares = found["returned"] * found["leads"] / found["cost"]
    assert found["share"].to_numpy() == pytest.approx(shares.to_numpy())
    assert found["buyers"].iloc[0] <= found["leads"].iloc[0]


def test_the_sentence_names_the_month_in_which_the_cost_had_come_back(tmp_path: Path) -> None:
    inputs = read(tmp_path, shop(2), spend=SPEND)
    table = acquisition_payback(inputs, inputs.builder.last_snapshot)
    (text,) = payback_sentences(table, "EUR")
    ads = table[table["source"] == "ads"]
    month = int(ads.loc[ads["share"] >= 1, "months"].iloc[0])
    assert text.startswith("Ads: a sign-up cost ")
    assert f"had come back after {month} month" in text
    never = payback_sentences(ads.assign(share=ads["share"] / 1000), "EUR")[0]
    assert "has not come back within" in never
    assert payback_figure(table, "EUR", has_margin=False).notes == [text]


def test_without_spend_or_leads_there_is_no_payback(tmp_path: Path) -> None:
    inputs = read(tmp_path, shop(3))
    assert acquisition_payback(inputs, inputs.builder.last_snapshot).empty
