"""The life-cycle report: what it draws is what the run left, and nothing in it breaks out."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from features.calendar import day_date, day_number
from features.storage.scores_store import read_current
from flows.report.chart_script import VEGA_LITE, chart_script
from flows.report.churn_wording import CHURN_WORDS
from flows.report.customer_search import choose_customers, pack_customers
from flows.report.headlines import headline_sums, headlines, takeaways
from flows.report.metric_rows import SPARKLINE_HEIGHT, sparkline_points
from flows.report.offer_rows import offer_rows
from flows.report.page import MOST_BYTES, draw_figures, render_page, script_json
from flows.report.report_data import ReportData, gather_report_data
from flows.report.sankey import RIBBON_POINTS, flow_data
from flows.report.spend_totals import interval_text
from flows.report.stage_transitions import NEWCOMERS, month_starts
from flows.report.value_figures import quadrant_data
from flows.services.workspace import Workspace
from models.explaining.segments import SEGMENT_NAMES, SegmentCutoffs, customer_segments
from tests.flows.shop import Shop, stagecast

EVIL = "</script><img src=x onerror=alert(1)>\u2028"


@pytest.fixture(scope="module")
def report(shop: Shop) -> ReportData:
    return gather_report_data(Workspace(shop.output), read_current(shop.output).run.run_id)


@pytest.fixture(scope="module")
def written(shop: Shop) -> str:
    run = read_current(shop.output).run.run_id
    return (shop.output / "runs" / run / "report.html").read_text(encoding="utf-8")


def payload(text: str) -> Any:
    found = re.search(r'id="payload">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])


def packed(text: str) -> Any:
    found = re.search(r'id="packed">([A-Za-z0-9+/=]*)</script>', text)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_the_run_writes_a_page_that_needs_nothing_else(shop: Shop, written: str) -> None:
    assert len(written.encode()) < MOST_BYTES
    markup = re.sub(r"<script.*?</script>", "", written, flags=re.S)
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', markup)
    assert "default-src 'none'" in markup
    assert written.count("window.vegaEmbed=") == 1  # one script for all charts
    folder = shop.output / "runs" / read_current(shop.output).run.run_id
    assert "[report.html](report.html)" in (folder / "summary.md").read_text(encoding="utf-8")


def test_the_script_of_the_charts_comes_from_a_package_and_is_kept(tmp_path: Path) -> None:
    assert VEGA_LITE in vl_convert.get_vegalite_versions(), "raise vl-convert with Altair"
    bundled = chart_script(tmp_path)
    (kept,) = tmp_path.iterdir()
    assert kept.read_text(encoding="utf-8") == bundled
    assert "window.vegaEmbed=" in bundled
    assert "</script" not in bundled
    kept.write_text("window.vegaEmbed=0;", encoding="utf-8")
    assert chart_script(tmp_path) == "window.vegaEmbed=0;"  # not bundled again
    (tmp_path / "file").touch()
    assert chart_script(tmp_path / "file" / "no-folder") == bundled  # only slower


def test_the_page_stays_out_of_mlflow(shop: Shop) -> None:
    artifacts = [p for p in shop.output.rglob("*.html") if "runs" not in p.parts]
    assert artifacts == []


def test_the_command_writes_the_same_page_again(shop: Shop, written: str) -> None:
    run = read_current(shop.output).run.run_id
    path = shop.output / "runs" / run / "report.html"
    path.unlink()
    done = stagecast("report", "--output", shop.output)
    assert done.returncode == 0, done.stderr
    assert path.read_text(encoding="utf-8") == written
    assert "report.html" in done.stdout


def test_without_a_run_the_command_says_what_to_do(tmp_path: Path) -> None:
    done = stagecast("report", "--output", tmp_path)
    assert done.returncode == 2
    assert "stagecast run" in done.stderr


def test_stage_sizes_flows_and_scores_agree(report: ReportData) -> None:
    last = report.sizes[report.sizes["at"] == report.sizes["at"].max()]
    counted = report.scores["stage"].value_counts()
    for row in last.itertuples():
        assert row.n == counted.get(row.stage, 0)
    for (_, to), moves in report.moves.groupby(["from_at", "to_at"]):
        arrived = moves.groupby("to_stage")["n"].sum()
        there = report.sizes[report.sizes["at"] == to].set_index("stage")["n"]
        assert {s: n for s, n in there.items() if n} == arrived.to_dict()
        shares = moves.groupby("from_stage")["share"].sum()
        assert np.allclose(shares, 1.0)


def test_totals_of_the_page_are_those_of_the_scores(report: ReportData, written: str) -> None:
    totals = report.totals
    whole = totals[totals["by"] == "all"].iloc[0]
    assert whole["clv"] == pytest.approx(report.scores["clv"].sum())
    for by in ("stage", "value tier", "segment"):
        assert totals.loc[totals["by"] == by, "clv"].sum() == pytest.approx(whole["clv"])
    assert set(totals.loc[totals["by"] == "campaign", "name"]) <= set(report.plan["title"])
    for line in totals.itertuples():
        assert interval_text(line.low, line.high, report.currency) in written
    assert (totals["low"].isna() | (totals["low"] < totals["clv"])).all()
    assert (totals["high"].isna() | (totals["clv"] < totals["high"])).all()


def test_the_total_of_the_first_screen_has_its_interval(report: ReportData) -> None:
    def hint(low: float) -> str:
        totals = report.totals.assign(low=low, high=2000.0)
        found = headlines(dataclasses.replace(report, totals=totals, currency="EUR"))
        return next(headline.hint for headline in found if headline.key == "clv")

    assert hint(1000.0) == "80 % interval for all customers: 1,000 to 2,000 EUR"
    assert hint(np.nan) == "sum over all customers"


def test_the_sentence_on_customers_at_risk_has_its_interval(report: ReportData) -> None:
    at_risk = report.scores.assign(segment=SEGMENT_NAMES[0])
    line = report.totals.iloc[:1].assign(by="segment", name=SEGMENT_NAMES[0])

    def sentences(low: float) -> str:
        totals = pd.concat([report.totals.iloc[:1], line.assign(low=low, high=2000.0)])
        changed = dataclasses.replace(report, scores=at_risk, totals=totals, currency="EUR")
        return " ".join(takeaways(changed))

    assert "(80 % interval: 1,000 to 2,000 EUR)" in sentences(1000.0)
    assert "80 % interval" not in sentences(np.nan)


def test_headline_numbers_are_those_of_the_scores(report: ReportData) -> None:
    scores, numbers = report.scores, headline_sums(report.scores, report.expected_moves)
    found = {h.key: h.value(numbers) for h in headlines(report)}
    assert found["customers"] == len(scores)
    assert found["clv"] == pytest.approx(scores["clv"].sum())
    assert found["risk"] == pytest.approx(scores["p_churn"].mean())
    assert found["leavers"] == pytest.approx(scores["p_churn"].sum())
    assert found["movers"] == pytest.approx(report.expected_moves["expected"].sum())
    # Within a month no more than within the whole horizon.
    assert 0 < found["movers"] <= scores["p_move"].sum() + 1e-6


def test_where_there_are_contracts_churn_is_a_cancellation(report: ReportData) -> None:
    shop, contracts = (dataclasses.replace(report, churn=words) for words in CHURN_WORDS.values())
    assert "chance of no purchase" in render_page(shop)
    told = render_page(contracts)
    assert "no purchase in" not in told
    assert "chance of a cancellation in" in told
    assert "customers under contract expected to cancel" in told


def test_what_was_tested_on_a_handful_is_not_told(report: ReportData) -> None:
    few = [{**f, "n": 1} if f["model"] == "churn" else f for f in report.figures]
    assert "Churn risk: tested at" in render_page(report)
    assert "Churn risk: tested at" not in render_page(dataclasses.replace(report, figures=few))


def test_what_expected_values_rest_on_is_a_sentence(report: ReportData) -> None:
    assert (
        "also of customers who would buy without a message (response, not uplift)."
        in render_page(report)
    )
    labels = ["no value set"] * (len(report.plan) - 1) + ["uplift"]
    mixed = dataclasses.replace(report, plan=report.plan.assign(value_label=labels))
    text = "that a message causes (uplift). Where no value is set, they are costs only."
    assert text in render_page(mixed)
    none = dataclasses.replace(report, plan=report.plan.assign(value_label="no value set"))
    assert "No campaign sets a value" in render_page(none)


def test_every_figure_draws_the_numbers_of_its_table(report: ReportData) -> None:
    drawn = draw_figures(report)
    assert set(drawn) >= {
        "sizes", "trend", "flow", "movers", "migration", "quadrant", "members", "reliability",
        "gains", "deciles", "outlook",
    }  # fmt: skip
    for figure in drawn.values():
        text = json.dumps(figure.spec())
        named = set(re.findall(r'"name": "(\w+)"', text))
        assert named & set(figure.data), figure.key
        assert figure.table.data in figure.data
        assert len(figure.table.frame(figure.data)), figure.key
        assert re.search(r"\d", figure.alt), figure.key
        assert figure.caption.endswith((".", "?"))


def test_table_sums_add_up_to_the_customers(report: ReportData) -> None:
    drawn = draw_figures(report)
    sizes = drawn["sizes"].table.frame(drawn["sizes"].data)
    assert sizes["n"].sum() == len(report.scores)
    quadrant = drawn["quadrant"].table.frame(drawn["quadrant"].data)
    assert quadrant["n"].sum() == len(report.scores)
    assert quadrant["clv"].sum() == pytest.approx(report.scores["clv"].sum())
    members = drawn["members"].table.frame(drawn["members"].data).groupby("arm")["n"].sum()
    assert members["to contact"] == report.plan["treatment"].sum()
    assert members.get("held out", 0) == report.plan["control"].sum()


def test_searchable_customers_are_told_as_scored(report: ReportData, written: str) -> None:
    told = packed(written)
    scores = report.scores.set_index("customer_id")
    assert told["ids"] == sorted(scores.index)  # so few that all are searchable
    for place in range(0, len(told["ids"]), 37):
        name = told["ids"][place]
        assert told["scores"]["stage"][place] == scores.loc[name, "stage"]
        # The path ends in the stage that was scored, and the sentence says why.
        letter = told["paths"][place][-1]
        assert told["stages"][ord(letter) - 97] == scores.loc[name, "stage"]
        assert told["why"][place]
        since = scores.loc[name, "stage_since"]
        days = (pd.Timestamp(told["at"]) - since).days
        for ago, at in zip(told["grid"], told["paths"][place], strict=True):
            if ago < days:
                assert at == letter


def test_timelines_count_the_orders_of_the_year(shop: Shop, written: str) -> None:
    told = packed(written)
    orders = pd.read_csv(shop.config.parent / "orders.csv").drop_duplicates(["customer", "order"])
    local = pd.to_datetime(orders["at"], utc=True).dt.tz_convert("America/Chicago")
    ago = (pd.Timestamp(told["at"]) - local.dt.tz_localize(None).dt.normalize()).dt.days
    inside = orders[(ago > 0) & (ago <= 364)].groupby("customer").size()
    for name, events in zip(told["ids"], told["events"], strict=True):
        counted = sum(sum(counts) for _, _, counts, _ in events)
        assert counted == inside.get(name, 0)


def test_a_page_with_little_room_says_whom_it_holds(shop: Shop, report: ReportData) -> None:
    builder = Workspace(shop.output).archive().builder
    at = day_number(pd.Timestamp(report.run["snapshot_at"]).date())
    found = pack_customers(builder, report.scores, report.audience, {}, at=at, most_bytes=9_000)
    assert len(found.packed) <= 9_000
    assert 0 < found.count < found.total == len(report.scores)
    assert f"{found.count:,} of {found.total:,}" in found.selection
    assert "drawn at random" in found.selection


def test_the_choice_of_searchable_customers_is_repeatable_and_fair() -> None:
    scores = pd.DataFrame({"customer_id": [f"c{i:03d}" for i in range(200)]})
    audience = pd.DataFrame(
        {
            "customer_id": ["c007", "c008", "c009"],
            "change": ["added", "kept", "removed"],
            "expected_value": [1.0, 5.0, 9.0],
        }
    )
    first = choose_customers(scores, audience, seed=1, most=20)
    assert first == choose_customers(scores, audience, seed=1, most=20)
    assert first != choose_customers(scores, audience, seed=2, most=20)
    assert len(first) == len(set(first)) == 20
    assert first[0] == "c008"  # the member of the highest value leads
    assert set(choose_customers(scores, audience, seed=1, most=500)) == set(scores["customer_id"])


def test_no_text_of_the_data_breaks_out(report: ReportData) -> None:
    scores = report.scores.copy()
    scores.loc[scores.index[0], "stage"] = EVIL
    plan = report.plan.assign(title=EVIL, held=EVIL)
    evil = dataclasses.replace(
        report,
        scores=scores,
        plan=plan,
        notice=EVIL,
        description=EVIL,
        unobservable=[EVIL],
        model_warnings=[EVIL],
        run={**report.run, "dataset": EVIL},
        drivers={"churn": pd.DataFrame({"feature": [EVIL], "meaning": [EVIL], "gain": [1.0]})},
    )
    text = render_page(evil)
    assert "<img src=x" not in text
    ends = len(re.findall("</script", text))
    assert ends == len(re.findall("<script", re.sub(r"<script[^>]*>.*?</script>", "<script", text,
                                                    flags=re.S)))  # fmt: skip
    assert any(
        EVIL in row for f in payload(text)["figures"] for row in [json.dumps(f["data"])]
    ) or (EVIL in payload(text)["cells"]["stage"])


@pytest.mark.parametrize("text", [EVIL, "<!--<script>", "a&b", "\u2029", "'\"`"])
def test_json_in_a_script_is_what_went_in(text: str) -> None:
    told = script_json({"k": text})
    assert not set("<>&\u2028\u2029") & set(told)
    assert json.loads(told) == {"k": text}


def test_segments_are_those_of_the_cut_offs() -> None:
    scores = pd.DataFrame(
        {
            "p_churn": [0.5, 0.1, 0.1, 0.5, None, None],
            "clv": [100.0, 100.0, 5.0, 5.0, 300.0, 1.0],
            "average_order_value": [9.0, 9.0, 9.0, 9.0, 9.0, None],
        }
    )
    told = customer_segments(scores, SegmentCutoffs(risk=0.3, value=50.0))
    assert list(told) == list(SEGMENT_NAMES)


def test_months_begin_on_the_first_and_end_at_the_snapshot() -> None:
    first, last = day_number(pd.Timestamp("2020-01-05").date()), pd.Timestamp("2020-04-20").date()
    days = month_starts(first, day_number(last), most=10)
    assert [str(day_date(day)) for day in days] == [
        "2020-02-01", "2020-03-01", "2020-04-01", "2020-04-20",
    ]  # fmt: skip
    assert len(month_starts(first, day_number(last), most=2)) == 2
    one = month_starts(first, day_number(pd.Timestamp("2020-04-01").date()), most=10)
    assert str(day_date(one[-1])) == "2020-04-01"
    assert len(set(one)) == len(one)


def test_ribbons_keep_their_width_and_fill_their_blocks() -> None:
    a, b, c = (pd.Timestamp(f"2020-0{m}-01").date() for m in (1, 2, 3))
    moves = pd.DataFrame(
        [
            (a, b, "high", "high", 6), (a, b, "high", "low", 4), (a, b, "low", "low", 10),
            (a, b, NEWCOMERS, "low", 3), (b, c, "high", "high", 6), (b, c, "low", "high", 7),
            (b, c, "low", "low", 10),
        ],
        columns=["from_at", "to_at", "from_stage", "to_stage", "n"],
    )  # fmt: skip
    blocks, ribbons = flow_data(moves, ["high", "low"], NEWCOMERS)
    sizes = blocks.set_index(["at", "stage"])["n"].to_dict()
    assert sizes == {
        (0, "high"): 10, (0, "low"): 10, (0, NEWCOMERS): 3, (1, "high"): 6, (1, "low"): 17,
        (2, "high"): 13, (2, "low"): 10,
    }  # fmt: skip
    assert np.allclose(ribbons["y"] - ribbons["y2"], ribbons["n"])
    assert (ribbons.groupby("ribbon").size() == RIBBON_POINTS).all()
    # Ribbons that leave a block lie side by side within it.
    start = ribbons[ribbons["ribbon"].str.startswith("0:high")].groupby("ribbon").first()
    block = blocks[(blocks["at"] == 0) & (blocks["stage"] == "high")].iloc[0]
    assert start["y"].max() == pytest.approx(block["y"])
    assert start["y2"].min() == pytest.approx(block["y2"])


def test_many_dots_are_drawn_by_a_seed() -> None:
    scores = pd.DataFrame(
        {"stage": "a", "segment": "b", "p_churn": np.linspace(0, 1, 500), "clv": 1.0}
    )
    few = quadrant_data(scores, seed=3, most=50)
    assert len(few) == 50
    assert few.equals(quadrant_data(scores, seed=3, most=50))
    assert len(quadrant_data(scores, seed=3, most=900)) == 500


def test_small_lines_stay_in_their_box() -> None:
    points = [tuple(map(float, p.split(","))) for p in sparkline_points([1.0, 5.0, 3.0]).split()]
    assert len(points) == 3
    assert all(0 <= y <= SPARKLINE_HEIGHT for _, y in points)
    assert points[1][1] < points[0][1]  # higher is up
    assert sparkline_points([1.0]) == ""


def test_the_page_shows_the_offers_of_campaigns_with_several(report: ReportData) -> None:
    campaign, title = report.plan["campaign_id"].iloc[0], report.plan["title"].iloc[0]
    assert "Drawn to learn" not in render_page(report)
    gift = {"offer_name": "gift", "channel": "letter", "discount": 0.0, "contact_cost": 3.0,
            "capacity": 40.0, "members": 40, "explored": 7, "expected_value": 321.0, "cost": 120.0,
            "exploration_cost": 11.0, "place_price": 2.5, "value_label": "uplift"}  # fmt: skip
    nothing = {"offer_name": "nothing", "channel": None, "members": 12, "explored": 0,
               "expected_value": 0.0, "cost": 0.0, "exploration_cost": 0.0}  # fmt: skip
    offers = pd.DataFrame([gift, nothing]).assign(campaign_id=campaign)
    rows = offer_rows(offers, report.plan)
    assert [row["offer"] for row in rows] == ["gift", "nothing (held out)"]
    assert (rows[0]["title"], rows[0]["drawn"], rows[1]["place_price"]) == (title, 7, None)
    page = render_page(dataclasses.replace(report, offers=offers))
    assert "Drawn to learn" in page
    assert f"A further place of an offer would bring at most: gift of {campaign} 2.50." in page
