"""Stage metrics against plain loops over events, and against hand-made tables."""

from __future__ import annotations

import csv
import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.aggregates.daily_aggregates import tally
from features.calendar import day_date, day_number
from features.config import config as configs
from features.errors import UserError
from features.lifecycle.stage_engine import stage_at
from features.metrics.metric_catalog import METRICS
from features.metrics.metric_inputs import Inputs, Period, lead_sources
from features.metrics.metric_table import metric_table, periods
from features.sources.acquisition_spend import read_spend
from features.table.snapshot_builder import Builder

FIRST = dt.date(2023, 1, 1)
CONFIG = """\
name: made-up
data_through: 2023-12-31
sources:
  - events: events.csv
    columns: {{customer_id: who, anonymous_id: visitor, value: value, session_id: session,
      channel: channel, occurred_at: {{column: day, as: local_date}}}}
    event_type: {{column: type}}
{spend}
stages: {{file: stages/omnisend.yaml, params: {{L: 90, W: 180, K: 3, D: 60}}}}
activity_days: 60
clv: {{horizon_days: 45}}
"""
SPEND = "spend: {table: spend.csv, columns: {date: day, channel: channel, amount: amount}}"
HEAD = ("who", "visitor", "day", "type", "value", "session", "channel")
Row = tuple[str, str, int, str, float | None, str, str]


def row(who: str, day: int, kind: str, value: float | None = None, *, session: str = "",
        channel: str = "", visitor: str = "") -> Row:  # fmt: skip
    return who, visitor, day, kind, value, session, channel


def read(folder: Path, rows: list[Row], *, spend: dict[int, float] | None = None) -> Inputs:
    """The inputs of metrics, by way of real files; days count from the first of January 2023."""

    def date(day: int) -> str:
        return (FIRST + dt.timedelta(days=day)).isoformat()

    with (folder / "events.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(HEAD)
        writer.writerows((a, v, date(d), k, x, s, c) for a, v, d, k, x, s, c in rows)
    if spend is not None:
        amounts = [(date(day), "ads", amount) for day, amount in spend.items()]
        frame = pd.DataFrame(amounts, columns=["day", "channel", "amount"])
        frame.to_csv(folder / "spend.csv", index=False)
    (folder / "shop.yaml").write_text(CONFIG.format(spend="" if spend is None else SPEND))
    config = configs.load(folder / "shop.yaml")
    latest = day_number(dt.date(2024, 1, 1))
    tallies, _ = tally(config, latest=latest, quarantine=folder / "quarantine")
    builder = Builder.from_tallies(config, tallies)
    sessions = None if tallies.sessions is None else tallies.sessions.to_pandas()
    sources = lead_sources(builder, tallies.attributes)
    return Inputs(builder, sessions=sessions, spend=read_spend(config), sources=sources)


def period(start: int, end: int) -> Period:
    zero = day_number(FIRST)
    return Period(zero + start, zero + end)


def figures(inputs: Inputs, over: Period, stage: str | None = None) -> dict[str, Any]:
    """By key: value where there is one, else the note; and n under ``key n``."""
    table = metric_table(inputs, [over])
    mine = table[table["stage"].isna() if stage is None else table["stage"] == stage]
    mine = mine[mine["source"].isna()]
    found = {r.key: (r.note or r.value) for r in mine.itertuples()}
    return {**found, **{f"{r.key} n": r.n for r in mine.itertuples()}}


# ---------------------------------------------------------------------------------- by plain loops


def random_rows(seed: int, customers: int = 1000) -> list[Row]:
    """Customers with leads, orders, refunds, surveys, referrals and sessions; and visitors."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []

    def some(who: str, kind: str, mean: float, first: int, values: list[float] | None = None,
             visitor: str = "") -> None:  # fmt: skip
        for _ in range(random.poisson(mean)):
            day = int(random.integers(first, 365))
            value = None if values is None else float(random.choice(values))
            rows.append(row(who, day, kind, value, channel=str(random.choice(["a", "b"])),
                            visitor=visitor))  # fmt: skip

    for number in range(customers):
        who, first = f"c{number:04d}", int(random.integers(0, 250))
        rows.append(row(who, first, "touch"))
        some(who, "lead", 1.2, first)
        some(who, "intent", 0.7, first)
        some(who, "purchase", float(random.choice([0, 0.7, 6])), first, [10.0, 25.5])
        some(who, "refund", 0.2, first, [5.0])
        some(who, "survey_nps", 0.8, first, [0, 6, 7, 8, 9, 10])
        some(who, "survey_csat", 0.8, first, [1, 2, 3, 4, 5])
        some(who, "advocacy", 0.3, first)
    for number in range(2500):
        known, day = random.random() < 0.5, int(random.integers(0, 365))
        who = f"c{int(random.integers(customers)):04d}" if known else ""
        visitor = "" if known else f"v{int(random.integers(700))}"
        for _ in range(int(random.integers(1, 4))):
            rows.append(row(who, day, "touch", session=f"s{number}", visitor=visitor))
    return rows


def by_loops(rows: list[Row], start: int, end: int, who: set[str], first_day: dict[str, int],
             spend: dict[int, float]) -> dict[str, tuple[float, int]]:  # fmt: skip
    """Every definition once more: value and n by key, for some customers; `first_day` of all."""
    days: dict[tuple[str, str], list[int]] = defaultdict(list)
    for customer, _, day, kind, _, _, _ in rows:
        days[customer, kind].append(day)
    everyone = sorted(first_day)

    def bought(customer: str, a: int, b: int) -> list[int]:
        return sorted({d for d in days[customer, "purchase"] if a <= d < b})

    def share(among: list[str], hit: Any) -> tuple[float, int]:
        return sum(map(hit, among)) / max(len(among), 1), len(among)

    there = [c for c in everyone if c in who and first_day[c] < start]
    active = [c for c in there if bought(c, start - 60, start)]
    never = [c for c in there if not bought(c, 0, start)]
    ordered = [c for c in everyone if c in who and bought(c, start, end)]
    leads = [c for c in everyone if days[c, "lead"] and start <= min(days[c, "lead"]) < end]
    fresh = [c for c in leads if not bought(c, 0, min(days[c, "lead"]))]
    sessions: dict[str, list[int]] = defaultdict(list)
    for _, _, day, kind, _, session, _ in rows:
        if session and kind == "touch":
            sessions[session].append(day)
    visits = [pages for pages in sessions.values() if start <= min(pages) < end]

    def answers(kind: str) -> list[float]:
        # Of several answers of one customer on one day at the same moment the largest counts.
        last: dict[tuple[str, int], float] = {}
        for customer, _, day, k, value, _, _ in rows:
            if k == kind and customer in who and start <= day < end and value is not None:
                last[customer, day] = max(value, last.get((customer, day), -1))
        return list(last.values())

    nps, csat = answers("survey_nps"), answers("survey_csat")
    buyers = [c for c in everyone if c in who and bought(c, 0, end)]
    of_buyers = set(buyers)
    worth = sum(
        value if kind == "purchase" else -value
        for c, _, day, kind, value, _, _ in rows
        if kind in ("purchase", "refund") and value is not None and c in of_buyers and day < end
    )
    timed = [c for c in everyone if bought(c, 0, end) and bought(c, 0, end)[0] >= start
             and days[c, "lead"] and min(days[c, "lead"]) <= bought(c, 0, end)[0]]  # fmt: skip
    kept = share(active, lambda c: bool(bought(c, start, end)))
    paid = sum(amount for day, amount in spend.items() if start <= day < end)
    return {
        "site_traffic": (len(visits), len(visits)),
        "bounce_rate": (sum(len(v) == 1 for v in visits) / max(len(visits), 1), len(visits)),
        "cost_per_subscriber": (paid / max(len(leads), 1), len(leads)),
        "site_engagement": share(there, lambda c: any(
            start <= d < end for d in [*days[c, "touch"], *days[c, "intent"]])),
        "lead_conversion_rate": share(fresh, lambda c: bool(
            bought(c, min(days[c, "lead"]), min(days[c, "lead"]) + 45))),
        "sales_conversion_rate": share(never, lambda c: bool(bought(c, start, end))),
        "nps": (100 * (sum(a >= 9 for a in nps) - sum(a <= 6 for a in nps)) / max(len(nps), 1),
                len(nps)),
        "csat": (sum(a >= 4 for a in csat) / max(len(csat), 1), len(csat)),
        "retention_rate": kept,
        "churn_rate": (1 - kept[0], kept[1]),
        "historic_clv": (worth / max(len(buyers), 1), len(buyers)),
        "repeat_rate": share(ordered, lambda c: len(bought(c, 0, end)) >= 2),
        "referrals_per_customer": (
            sum(start <= d < end for c in there for d in days[c, "advocacy"])
            / max(len(there), 1), len(there)),
        "days_to_first_order": (
            sum(bought(c, 0, end)[0] - min(days[c, "lead"]) for c in timed) / max(len(timed), 1),
            len(timed)),
        "repeat_orders": share(ordered, lambda c: bool(
            bought(c, bought(c, start, end)[0] + 1, bought(c, start, end)[0] + 61))),
        "seen_again": share(there, lambda c: any(start <= d < end for d in days[c, "touch"])),
    }  # fmt: skip


@pytest.fixture(scope="module")
def random_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inputs, list[Row], Any]:
    rows = random_rows(4)
    spend = {day: 12.5 + day % 7 for day in range(365)}
    return read(tmp_path_factory.mktemp("shop"), rows, spend=spend), rows, spend


@pytest.mark.parametrize(("start", "end"), [(120, 150), (200, 260), (181, 182)])
@pytest.mark.parametrize("stage", [None, "loyalty", "retention", "acquisition", "conversion"])
def test_figures_equal_plain_loops(
    random_shop: tuple[Inputs, list[Row], Any], start: int, end: int, stage: str | None
) -> None:
    inputs, rows, spend = random_shop
    first_day: dict[str, int] = {}
    for customer, _, day, *_ in rows:
        if customer:
            first_day[customer] = min(day, first_day.get(customer, day))
    taxonomy, zero = inputs.builder.taxonomy, day_number(FIRST)

    def within(day: int) -> set[str]:
        if stage is None:
            return set(first_day)
        code = stage_at(taxonomy, inputs.history, zero + day)
        names = inputs.history.customers[code == taxonomy.code(stage)]
        return {str(c) for c in names if first_day[str(c)] < day}

    expected = by_loops(rows, start, end, within(start), first_day, spend)
    at_end = by_loops(rows, start, end, within(end), first_day, spend)
    expected["historic_clv"] = at_end["historic_clv"]
    found = {}
    everyone = np.ones(inputs.customers, dtype=bool)
    over = period(start, end)
    compared = 0
    for metric in METRICS:
        if metric.key not in expected:
            continue
        who = everyone
        if stage is not None and metric.when != "site":
            code = inputs.code(over.start if metric.when == "start" else over.end)
            who = code == taxonomy.code(stage)
        found[metric.key] = metric.compute(inputs, over, who)[0]
        value, n = expected[metric.key]
        assert found[metric.key].n == n, metric.key
        if n >= 30:
            assert found[metric.key].value == pytest.approx(value), metric.key
            compared += 1
        else:
            assert found[metric.key].value is None, metric.key
            assert found[metric.key].reason == "hidden: n under 30"
    if end - start > 1:
        assert compared >= (14 if stage is None else 5)


# --------------------------------------------------------------------------------------- hand-made


def many(count: int, make: Any) -> list[Row]:
    return [r for number in range(count) for r in make(f"c{number:03d}", number)]


def test_retention_by_hand(tmp_path: Path) -> None:
    # 40 are active on day 100: bought on day 40 or later. 30 of them buy before day 130.
    def make(who: str, number: int) -> list[Row]:
        later = {0: [100], 1: [129], 2: [150], 3: [110, 110]}[number % 4]
        rows = [row(who, 39 if number >= 40 else 40, "purchase", 10.0)]
        return rows + [row(who, day, "purchase", 10.0) for day in later]

    found = figures(read(tmp_path, many(60, make)), period(100, 130))
    assert found["retention_rate"] == pytest.approx(30 / 40)
    assert found["churn_rate"] == pytest.approx(10 / 40)
    assert found["retention_rate n"] == 40
    assert found["cost_per_subscriber"] == "missing: needs events of the role lead"
    assert found["site_traffic"].startswith("missing: needs touch events with a session_id")
    assert found["nps"].startswith("missing: needs events of the role survey_nps")
    assert found["predicted_clv"].startswith("missing: needs scores published")


def test_under_thirty_is_hidden_and_thirty_is_shown(tmp_path: Path) -> None:
    for count, shown in ((29, False), (30, True)):
        folder = tmp_path / str(count)
        folder.mkdir()
        rows = many(count, lambda who, number: [row(who, 5, "survey_nps", 9.0 + number % 2)])
        rows += [row("buyer", 1, "purchase", 1.0)]
        table = metric_table(read(folder, rows), [period(0, 10)])
        line = table[table["stage"].isna() & (table["key"] == "nps")].iloc[0]
        assert line["n"] == count
        assert (line["value"] == 100.0) if shown else np.isnan(line["value"])
        assert line["note"] == ("" if shown else "hidden: n under 30")


def test_a_cohort_of_leads_waits_for_its_horizon(tmp_path: Path) -> None:
    # 45 days from the lead on: the 45th counts, the 46th does not; data end on day 364.
    def make(who: str, number: int) -> list[Row]:
        first = row(who, 290, "lead", channel="ads")
        return [first, row(who, 290 + 44 + number % 2, "purchase", 10.0)]

    inputs = read(tmp_path, [*many(40, make), row("z", 1, "purchase", 1.0)])
    assert figures(inputs, period(280, 300))["lead_conversion_rate"] == 0.5
    # The last lead may come on day 320, and 45 days from then are over on day 365.
    assert "not matured" not in str(figures(inputs, period(290, 321))["lead_conversion_rate"])
    waiting = figures(inputs, period(290, 322))["lead_conversion_rate"]
    assert waiting == f"not matured: known from {FIRST + dt.timedelta(days=366)} on"


def test_lead_quality_is_the_share_of_band_a_by_channel(tmp_path: Path) -> None:
    def make(who: str, number: int) -> list[Row]:
        return [row(who, 10, "lead", channel="ads" if number < 40 else "organic")]

    inputs = read(tmp_path, [*many(80, make), row("z", 1, "purchase", 1.0)])
    day = day_number(FIRST) + 30
    names = [f"c{n:03d}" for n in range(80)]
    bands = ["A" if n % 4 == 0 or n >= 70 else "C" for n in range(80)]
    first = pd.DataFrame({"day": day, "customer_id": names, "lead_band": bands, "clv": 2.0})
    then = first.assign(day=day + 30, lead_band="D")  # the first score counts
    before = first.assign(day=day - 20, lead_band="D")  # not yet a lead
    scores = pd.concat([then, before, first], ignore_index=True)
    scored = Inputs(
        inputs.builder, scores=scores.assign(stage="acquisition"), sources=inputs.sources
    )
    table = metric_table(scored, [period(0, 40)])
    mine = table[(table["key"] == "lead_quality") & table["stage"].isna()].set_index("source")
    assert mine.loc["ads", "value"] == 10 / 40
    assert mine.loc["organic", "value"] == 18 / 40
    assert mine[mine.index.isna()]["value"].tolist() == [28 / 80]
    clv = table[(table["key"] == "predicted_clv") & table["stage"].isna()].iloc[0]
    assert (clv["value"], clv["n"]) == (2.0, 80)


def test_a_session_that_spans_a_sign_in_is_one(tmp_path: Path) -> None:
    def make(who: str, number: int) -> list[Row]:
        return [row(who, 3, "touch", session=f"s{number}")] * (1 + number % 2)

    rows = [*many(40, make), row("", 3, "touch", session="s0", visitor="x")]
    found = figures(read(tmp_path, [*rows, row("z", 1, "purchase", 1.0)]), period(0, 10))
    assert found["site_traffic"] == 41  # the visitor's s0 is another session than the customer's
    assert found["bounce_rate"] == pytest.approx(21 / 41)


def test_every_stage_shows_the_metrics_its_taxonomy_names(
    random_shop: tuple[Inputs, list[Row], Any],
) -> None:
    inputs = random_shop[0]
    table = metric_table(inputs, [period(100, 130)])
    for stage in inputs.builder.taxonomy.stages:
        mine = table[table["stage"] == stage.name]
        assert set(mine["metric"]) == {*stage.advice.metrics, *stage.advice.our_metrics}
        assert set(mine.loc[mine["ours"], "metric"]) == set(stage.advice.our_metrics)
    assert table["key"].notna().all()  # every name of the shipped taxonomy has a definition
    assert (table["value"].isna() == (table["note"] != "")).all()


def test_activecampaigns_metrics_are_defined_too() -> None:
    from features.config.yaml_with_lines import Spot
    from features.lifecycle.taxonomy_parser import parse
    from features.metrics.metric_catalog import named

    for name in ("activecampaign", "omnisend"):
        content = configs.parse_yaml(configs.find(f"stages/{name}.yaml"))
        for stage in parse(Spot(content, name), {}).stages:
            for metric in (*stage.advice.metrics, *stage.advice.our_metrics):
                assert named(metric), metric


def test_periods_are_whole_and_the_last_ones() -> None:
    begin, to = dt.date(2023, 1, 15), dt.date(2023, 4, 2)
    months = periods(None, to, None, begin=begin)
    assert [(day_date(p.start).month, day_date(p.end).month) for p in months] == [(2, 3), (3, 4)]
    weeks = periods(None, to, 7, begin=begin)
    assert day_date(weeks[-1].end) == to
    assert len(weeks) == 11
    asked = periods(dt.date(2023, 1, 31), to, 28, begin=begin)
    assert [str(day_date(p.start)) for p in asked] == ["2023-01-31", "2023-02-28"]
    with pytest.raises(UserError, match="room for one whole calendar month"):
        periods(dt.date(2023, 3, 2), to, None, begin=begin)


def test_unreadable_spend_is_refused(tmp_path: Path) -> None:
    rows = [row("a", 1, "purchase", 1.0)]
    read(tmp_path, rows, spend={1: 2.0})
    (tmp_path / "spend.csv").write_text("day,channel,amount\n2023-01-02,ads,abc\n")
    config = configs.load(tmp_path / "shop.yaml")
    with pytest.raises(UserError, match="1 of 1 rows without a readable date or amount"):
        read_spend(config)
