"""The outlook begins with the counts of today, and its sentences say what its table holds."""

from __future__ import annotations

import datetime as dt
import re

import pandas as pd
import pytest

from features.lifecycle.taxonomy import Stage
from flows.report.report_data import ReportData
from flows.report.stage_outlook import AS_IS, outlook_figure, outlook_sentences


def test_today_is_counted_and_the_months_before_agree_with_the_report(report: ReportData) -> None:
    outlook = report.outlook[report.outlook["scenario"] == AS_IS]
    today = outlook[outlook["months"] == 0].set_index("stage")["expected"]
    sizes = report.scores["stage"].astype(str).value_counts()
    assert today.to_dict() == {name: sizes.get(name, 0) for name in today.index}
    past = outlook[outlook["months"] <= 0]
    assert (past["low"] == past["high"]).all()
    assert outlook["months"].max() == 6
    growth = outlook.groupby("months")["expected"].sum()
    assert (growth.diff().dropna() >= -1e-6).all()


def test_more_returns_leave_fewer_silent_customers(report: ReportData) -> None:
    last = report.outlook[report.outlook["months"] == 6]
    lapsed = last[last["stage"] == "lapsed"].set_index("scenario")["expected"]
    assert lapsed["20 % more silent customers return"] < lapsed[AS_IS]
    assert lapsed["20 % fewer silent customers return"] > lapsed[AS_IS]
    assert lapsed["active customers order 10 % less often"] > lapsed[AS_IS]


def test_the_sentences_hold_the_numbers_of_the_table(report: ReportData) -> None:
    first, price = report.outlook_sentences
    outlook = report.outlook[report.outlook["scenario"] == AS_IS]
    row = outlook[(outlook["months"] == 3) & (outlook["stage"] == "lapsed")].iloc[0]
    assert f"{row['low']:,.0f} to {row['high']:,.0f} customers are expected in lapsed" in first
    assert re.search(r"\d+ fewer customers would be active after 6 months", price)
    figure = outlook_figure(report.outlook, {"lapsed": "#888888"}, report.outlook_sentences)
    assert figure.choices()[-1] == AS_IS


def test_the_past_is_listed_and_drawn_once(report: ReportData) -> None:
    figure = outlook_figure(report.outlook, {"lapsed": "#888888"}, [])
    listed, past = figure.table.frame(figure.data), figure.data["past"]
    assert not listed.duplicated(["scenario", "at", "stage"]).any()
    today = past["at"].max()
    assert set(listed.loc[listed["at"] < today, "scenario"]) == {AS_IS}
    drawn = past.drop_duplicates(["at", "stage"])
    assert len(drawn) == len(past) == (listed["at"] <= today).mul(listed["scenario"] == AS_IS).sum()
    sets = {layer["data"]["name"] for layer in figure.spec()["layer"]}
    assert sets == set(figure.data)


def test_without_a_forecast_nothing_is_said() -> None:
    stages: list[Stage] = []
    assert outlook_sentences(pd.DataFrame(), stages, 1.0, "EUR") == []


@pytest.mark.parametrize(("spend", "said"), [(50.0, "(500 EUR a month"), (float("nan"), "months;")])
def test_the_price_of_silence_is_in_money_where_orders_have_amounts(
    report: ReportData, spend: float, said: str
) -> None:
    rows = [
        (scenario, dt.date(2021, 3, 1), months, stage, value, value - 5, value + 5)
        for months in (0, 3, 6)
        for scenario, active in (
            ("20 % more silent customers return", 110.0),
            ("20 % fewer silent customers return", 90.0),
            (AS_IS, 100.0),
        )
        for stage, value in (("lapsed", 200.0 - active), ("loyalty", active))
    ]
    columns = ["scenario", "at", "months", "stage", "expected", "low", "high"]
    stages = [stage for stage in report.stages if stage.name in ("lapsed", "loyalty")]
    outlook = pd.DataFrame(rows, columns=columns)
    first, price = outlook_sentences(outlook, stages, spend, "EUR")
    assert "95 to 105 customers are expected in loyalty (100 today)" in first
    assert "10 fewer customers" in price
    assert said in price
