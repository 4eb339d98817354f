"""Leads and a sensitive attribute in one small run: the call list, and nothing that leaks."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from features.errors import UserError
from features.storage.scores_store import read_current
from flows.commands.leads import call_list
from flows.services.score_events import open_scorer, read_events
from models.serving.event_scoring import EventScorer, score_records
from tests.flows.shop import Shop, orders, stagecast

pytestmark = pytest.mark.slow

SECRET = "Zq7Secret"  # begins every value of the sensitive attribute
CONFIG = """
name: clinic-shop
timezone: UTC
sources:
  - events: orders.csv
    columns: {customer_id: customer, occurred_at: {column: at, zone: UTC}, value: amount,
      order_id: order, brand: brand, condition: cond}
    event_type: purchase
  - events: visits.csv
    columns: {customer_id: customer, occurred_at: {column: at, zone: UTC}, channel: channel,
      brand: brand, condition: cond}
    event_type: {column: type}
roles: {touch: [page_view], lead: [form], sent: [message]}
sensitive: [condition]
lead: {points: {page_view: 2, form: 5}}
stages: {file: stages/recency_frequency.yaml, params: {L: 60, w: 120, k: 4, m: 1}}
activity_days: 90
windows: [30, 90]
snapshots: {every_days: 45}
churn: {horizon_days: 45, train: {at_most: 1}}
clv: {horizon_days: 45, train: {at_most: 3}}
stage: {confirm_days: 45, train: {at_most: 1}}
transition: {periods: 3, period_days: 14, train: {at_most: 1}}
campaigns: [campaigns/win_back.yaml]
quarantine: {max_share: 0.5}
"""


def visits(bought: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Visits, forms and messages before each first order, and of people who never buy."""
    random = np.random.default_rng(seed)
    first = pd.to_datetime(bought.groupby("customer")["at"].min())
    rows = []
    for number, (customer, at) in enumerate(first.items()):
        for _ in range(random.poisson(3)):
            day = at - pd.Timedelta(days=float(random.exponential(15)) + 0.5)
            rows.append((customer, day, "form" if random.random() < 0.3 else "page_view", "web"))
        lead = f"=lead{number:03d}"  # a spreadsheet would take it for a formula
        for _ in range(1 + random.poisson(2)):
            day = pd.Timestamp("2020-01-01") + pd.Timedelta(days=float(random.uniform(0, 425)))
            rows.append((lead, day, "page_view", "web"))
            rows.append((lead, day, "message", "email"))
    frame = pd.DataFrame(rows, columns=["customer", "at", "type", "channel"])
    frame = frame[frame["at"] >= "2020-01-01"]
    frame["at"] = frame["at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    frame["brand"] = random.choice(["north", "south"], len(frame))
    return frame


def later_starts(bought: pd.DataFrame) -> pd.DataFrame:
    """The same orders, two customers of three moved so that first orders go on to the end."""
    number = bought["customer"].str[1:].astype(int)
    at = pd.to_datetime(bought["at"]) + pd.to_timedelta(75 * (number % 3), unit="D")
    kept = bought.assign(at=at.dt.strftime("%Y-%m-%d %H:%M:%S"))[at < "2021-03-01"]
    return kept.reset_index(drop=True)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("clinic")
    bought = later_starts(orders(260, 5))
    for name, frame in (("visits", visits(bought, 6)), ("orders", bought)):
        frame["cond"] = [f"{SECRET}{number % 5}" for number in range(len(frame))]
        frame.loc[frame.index[:3], "at"] = "not a date"  # goes to the quarantine
        frame.to_csv(folder / f"{name}.csv", index=False)
    (folder / "clinic.yaml").write_text(CONFIG, encoding="utf-8")
    done = stagecast("run", "--config", folder / "clinic.yaml", "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    return Shop(folder / "clinic.yaml", folder / "out", done.stdout)


def test_leads_have_a_score_and_buyers_have_none(clinic: Shop) -> None:
    scores = read_current(clinic.output).scores
    never = scores["average_order_value"].isna()
    assert never.sum() > 100
    for name in ("p_first_purchase", "lead_score", "lead_band"):
        assert (scores[name].notna() == never).all()
    by_chance = scores[never].sort_values("p_first_purchase")
    assert by_chance["lead_score"].is_monotonic_increasing
    figures = json.loads((clinic.output / "training" / "training.json").read_text())["figures"]
    methods = {f["method"] for f in figures if f["model"] == "lead"}
    assert methods == {"champion", "points", "cohort"}
    assert "### Lead score" in next(clinic.output.glob("runs/*/summary.md")).read_text()


def test_the_call_list_is_ranked_explained_and_safe_to_open(clinic: Shop, tmp_path: Path) -> None:
    done = stagecast("leads", "--output", clinic.output, "--top", 30,
                     "--json", tmp_path / "l.json", "--csv", tmp_path / "l.csv")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "l.json").read_text(encoding="utf-8"))
    chances = [lead["p_first_purchase"] for lead in found["leads"]]
    assert chances == sorted(chances, reverse=True)
    assert [lead["rank"] for lead in found["leads"]] == list(range(1, 31))
    assert any("page view" in reason for lead in found["leads"] for reason in lead["reasons"])
    with (tmp_path / "l.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30
    assert all(cell[:1] not in "=+@" for row in rows for cell in row.values() if cell)
    assert "check it before anybody is called" in done.stdout
    best = call_list(clinic.output, bands=["A"], top=5)["leads"]
    assert {lead["lead_band"] for lead in best} == {"A"}


def test_mistakes_in_asking_are_told(clinic: Shop, shop: Shop) -> None:
    done = stagecast("leads", "--output", clinic.output, "--band", "E")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    done = stagecast("leads", "--output", shop.output)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "none of them with a chance of a first purchase" in done.stderr


def raw_events(folder: Path) -> pd.DataFrame:
    """Both tables in the contract's own words."""
    words = {"customer": "customer_id", "at": "occurred_at", "amount": "value",
             "order": "order_id", "type": "event_type", "cond": "condition"}  # fmt: skip
    tables = [pd.read_csv(folder / f"{name}.csv", dtype=str) for name in ("orders", "visits")]
    events = pd.concat([table.rename(columns=words) for table in tables], ignore_index=True)
    events = events[events["occurred_at"] != "not a date"]
    events["event_type"] = events["event_type"].fillna("purchase")
    events["occurred_at"] += "+00:00"
    return events


def alike(row: dict[str, object]) -> dict[str, object]:
    """A scored row without its stamps, and without reasons: those are of the run's audiences."""
    stamps = ("run_id", "scored_at")
    return {k: v for k, v in row.items() if k not in stamps and not k.startswith("reason_")}


def test_raw_events_of_a_few_customers_score_exactly_as_the_batch(clinic: Shop) -> None:
    events, published = raw_events(clinic.config.parent), read_current(clinic.output).scores
    scorer = open_scorer(clinic.output)
    ids = sorted(events["customer_id"].unique())
    for group in (ids[:1], ids[-1:], ids[::40]):
        mine = events[events["customer_id"].isin(group)]
        found = scorer.score(mine.to_dict("records"))
        assert found["not_scored"] == []
        wanted = score_records(published[published["customer_id"].isin(group)])
        for one, batch in zip(found["scores"], wanted, strict=True):
            assert alike(one) == alike(batch)


def test_score_events_reads_standard_input_and_files(clinic: Shop, tmp_path: Path) -> None:
    events = raw_events(clinic.config.parent)
    mine = events[events["customer_id"] == "c0003"].drop(columns="condition")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.commands.cli",
            "score-events",
            "-",
            "--output",
            clinic.output,
        ],
        input=mine.to_json(orient="records", lines=True),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)["scores"]
    published = read_current(clinic.output).scores
    (batch,) = score_records(published[published["customer_id"] == "c0003"])
    assert alike(told) == alike(batch)
    (tmp_path / "events.csv").write_text(mine.to_csv(index=False), encoding="utf-8")
    rows = read_events(str(tmp_path / "events.csv"))
    assert open_scorer(clinic.output).score(rows)["scores"][0]["clv"] == told["clv"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"event_type": "bougth"}, "unknown event types: 'bougth'"),
        ({"value": None}, "purchase without an amount"),
        ({"value": "many"}, "amount is not a number"),
        ({"occurred_at": "2199-01-01T00:00:00Z"}, "occurred_at after"),
        ({"occurred_at": "1969-01-01T00:00:00Z"}, "occurred_at before"),
        ({"event_id": "5"}, "duplicate event_id"),
    ],
)
def test_events_that_cannot_count_are_refused(
    clinic: Shop, change: dict[str, str | None], told: str
) -> None:
    good = {"customer_id": "c9", "event_type": "page_view", "occurred_at": "2020-05-01"}
    bought = {**good, "event_type": "purchase", "value": "1", "event_id": "7", **change}
    with pytest.raises(UserError, match="events") as caught:
        open_scorer(clinic.output).score([{**good, "event_id": "5"}, bought])
    assert told in str(caught.value)
    assert "stagecast-events-" not in str(caught.value)


def test_a_run_scores_no_earlier_day_and_no_other_config(clinic: Shop) -> None:
    with pytest.raises(UserError, match="first published run"):
        open_scorer(clinic.output, at=dt.date(2019, 1, 1))
    scorer = open_scorer(clinic.output).scorer
    other = scorer.config.model_copy(update={"windows": (7,)})
    with pytest.raises(UserError, match=r"config\.yaml"):
        EventScorer(other, scorer.loaded, scorer.context)
    with pytest.raises(UserError, match="earlier version"):
        EventScorer(scorer.config, scorer.loaded, {})


def contents(folder: Path) -> Iterator[tuple[Path, str]]:
    """Everything a run wrote, as text: tables cell by cell, since files compress them."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        yield path, path.name + path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet":
            yield path, pd.read_parquet(path).to_csv()
        elif path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as con:
                for (name,) in con.sql(
                    "select table_name from information_schema.tables"
                ).fetchall():
                    yield path, con.table(name).df().to_csv()
        elif path.suffix == ".db":
            with sqlite3.connect(path) as db:
                yield path, "\n".join(db.iterdump())


def test_a_sensitive_attribute_appears_nowhere(clinic: Shop) -> None:
    assert list(clinic.output.glob("quarantine/*.parquet"))  # there was something to leak
    read = 0
    for path, text in contents(clinic.output):
        read += 1
        assert SECRET not in text, path
        named = [line for line in text.splitlines()[:1] if "condition" in line]
        assert path.suffix not in (".parquet", ".csv") or not named, path
    assert read > 50
    scores = read_current(clinic.output).scores
    assert "preferred_brand" in scores
    assert not [name for name in scores if "condition" in name]
