"""The simulator: reproducible, true to its scenario, and readable by the engine."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from features.aggregates.tallies import Tallies
from features.calendar import day_number
from features.config import config as configs
from features.config.yaml_with_lines import Spot
from features.errors import UserError
from features.history.history import history
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.taxonomy_parser import parse
from simulator import scenario, simulate
from simulator.shared_settings import BLOCK_SIZE, LOOKUP_ENTRIES, lookup_table
from tests.simulator.simulated_tables import frame, moments, read

TAXONOMIES = yaml.safe_load("""
omnisend:
  params: {L: 180, W: 365, K: 3, D: 90}
  life_roles: [purchase, touch, intent, lead, support, advocacy, redemption]
  buying_stage: conversion
  stages:
    - name: lapsed
      silent: purchase
      when: {all: [{count: purchase, ">=": 1}, {days_since_last: purchase, ">": L}]}
    - name: loyalty
      when:
        all:
          - {days_since_last: purchase, "<=": L}
          - {count_distinct_days: purchase, window: L, ">=": 2}
          - any:
              - {count_distinct_days: purchase, window: W, ">=": K}
              - {count: advocacy, window: W, ">=": 1}
              - {mean: survey_nps, window: 180, ">=": 9}
          - not:
              any:
                - {mean: survey_nps, window: 90, "<=": 6}
                - {count: complaint, window: 30, ">=": 1}
    - name: conversion
      when:
        any:
          - all: [{count_distinct_days: purchase, "==": 1}, {days_since_first: purchase, "<=": 30}]
          - all:
              - {count: purchase, "<": 1}
              - any:
                  - {count: intent, window: 14, ">=": 1}
                  - {count: redemption, window: 14, ">=": 1}
    - name: retention
      when: {all: [{count: purchase, ">=": 1}, {days_since_last: purchase, "<=": L}]}
    - name: acquisition
      when:
        any:
          - all:
              - {count: lead, ">=": 1}
              - any: [{days_since_last: lead, "<=": D}, {days_since_last: touch, "<=": D}]
          - {count_distinct_days: touch, window: 30, ">=": 2}
    - {name: dormant, silent: lead, when: {count: lead, ">=": 1}}
    - {name: reach, default: true}
activecampaign:
  params: {L: 180, D: 90}
  life_roles: [purchase, touch, intent, lead, support, advocacy, redemption]
  buying_stage: support_grow
  stages:
    - name: lapsed
      silent: purchase
      when: {all: [{count: purchase, ">=": 1}, {days_since_last: purchase, ">": L}]}
    - {name: support_grow, when: {count: purchase, ">=": 1}}
    - name: convert_close
      when:
        any:
          - {count: intent, window: 14, ">=": 1}
          - {count: redemption, window: 14, ">=": 1}
          - all: [{count: lead, ">=": 1}, {count_distinct_days: touch, window: 14, ">=": 3}]
    - name: nurture_educate
      when:
        any:
          - all:
              - {count: lead, ">=": 1}
              - any: [{days_since_last: lead, "<=": D}, {days_since_last: touch, "<=": D}]
          - {count_distinct_days: touch, window: 30, ">=": 2}
    - {name: dormant, silent: lead, when: {count: lead, ">=": 1}}
    - {name: reach_engage, default: true}
""")


# -- reproducible


@pytest.mark.parametrize("name", ["reference", "btyd"])
def test_history_depends_on_seed_and_number_only(tmp_path: Path, name: str) -> None:
    one, two, other = (tmp_path / label for label in ("one", "two", "other"))
    size = BLOCK_SIZE + 300
    rows = simulate.write_simulation(
        name, customers=size, seed=1, output=one, chunk=BLOCK_SIZE, workers=2
    )
    simulate.write_simulation(name, customers=size, seed=1, output=two, chunk=4 * BLOCK_SIZE)
    simulate.write_simulation(name, customers=size, seed=2, output=other)
    for table in set(simulate.CUSTOMER_TABLES) & set(rows):
        mine = read(one, table).unify_dictionaries()
        assert mine.num_rows == rows[table]
        assert mine.equals(read(two, table).unify_dictionaries()), table
        assert not mine.equals(read(other, table).unify_dictionaries()), table


def test_fewer_customers_are_a_prefix_in_every_table(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    simulate.write_simulation("reference", customers=700, seed=1, output=few)
    simulate.write_simulation("reference", customers=1_500, seed=1, output=many)
    last = "C00000700"
    for table in simulate.CUSTOMER_TABLES:
        if table == "anonymous_events":
            continue
        of_many, of_few = frame(many, table), frame(few, table)
        expected = of_many[of_many["customer_id"] < last].reset_index(drop=True)
        assert len(of_few) > 0
        pd.testing.assert_frame_equal(of_few, expected)
    seen = set(frame(few, "anonymous_events")["event_id"])
    assert seen < set(frame(many, "anonymous_events")["event_id"])


def test_smaller_rerun_leaves_nothing_of_the_larger_one(tmp_path: Path) -> None:
    simulate.write_simulation(
        "btyd", customers=3 * BLOCK_SIZE, seed=1, output=tmp_path, chunk=BLOCK_SIZE
    )
    simulate.write_simulation("btyd", customers=100, seed=1, output=tmp_path, chunk=BLOCK_SIZE)
    assert frame(tmp_path, "events")["customer_id"].nunique() == 100
    (tmp_path / "notes.txt").write_text("mine")
    simulate.write_simulation("reference", customers=1, seed=1, output=tmp_path)
    simulate.write_simulation("btyd", customers=1, seed=1, output=tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    parts = {f"{table}/part-00000.parquet" for table in ("events", "truth/customers")}
    assert left == parts | {"truth/snapshots/part-00000.parquet", "manifest.json", "notes.txt"}


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20))
def test_lookup_table_keeps_proportions(weights: list[float]) -> None:
    table = lookup_table(weights)
    share = np.bincount(table, minlength=len(weights)) / LOOKUP_ENTRIES
    assert np.abs(share - np.array(weights) / sum(weights)).max() <= 1.01 / LOOKUP_ENTRIES


# -- the tables beside the events


def test_late_events_and_machine_opens(reference: Path) -> None:
    events = frame(reference, "events", ["occurred_at", "known_at", "event_type", "is_machine"])
    assert (events["known_at"] >= events["occurred_at"]).all()
    assert (events["known_at"] < pd.Timestamp("2024-12-30", tz="UTC")).all()
    assert (events["known_at"] > events["occurred_at"]).mean() == pytest.approx(0.03, abs=0.003)
    machine = events[events["is_machine"]]
    assert set(machine["event_type"]) == {"email_open", "message_click"}
    assert 0.01 < len(machine) / len(events) < 0.1


def test_names_are_given_once_and_anonymous_events_lie_before(reference: Path) -> None:
    links, unnamed = frame(reference, "identities"), frame(reference, "anonymous_events")
    named = frame(reference, "events", ["customer_id", "occurred_at"])
    first = named.groupby("customer_id")["occurred_at"].min()
    assert (
        links.set_index("customer_id")["linked_at"] == first.reindex(links["customer_id"])
    ).all()
    assert links["anonymous_id"].is_unique
    seen = unnamed.merge(links, left_on="customer_id", right_on="anonymous_id", how="left")
    linked = seen["linked_at"].notna()
    assert (seen["occurred_at"] < seen["linked_at"])[linked].all()
    assert 0.2 < linked.mean() < 0.98
    assert not set(unnamed["event_type"]) & {"purchase", "sign_up", "message_sent"}


def test_nobody_is_written_to_without_consent(reference: Path) -> None:
    sent = frame(reference, "events", ["customer_id", "occurred_at", "event_type", "channel"])
    sent = sent[sent["event_type"] == "message_sent"].assign(at=lambda e: moments(e).dt.normalize())
    sent = sent.sort_values("at")
    changes = frame(reference, "consents").sort_values("changed_at", kind="stable")
    changes["at"] = changes["changed_at"].astype(sent["at"].dtype)
    latest = pd.merge_asof(sent, changes, on="at", by=["customer_id", "channel"])
    assert len(latest) > 100_000
    assert latest["granted"].astype(bool).all()
    assert (~changes["granted"]).mean() > 0.3


def test_contact_keys_reach_nobody(reference: Path) -> None:
    customers = frame(reference, "customers")
    assert customers["customer_id"].is_unique
    assert customers["email"].str.endswith("@simulated.invalid").all()
    assert customers["phone"].str.startswith("+000").all()


def test_crm_records_are_wrong_as_often_as_planted(reference: Path) -> None:
    records, wrong = frame(reference, "stage_history"), frame(reference, "truth/mis_stagings")
    assert len(wrong) / len(records) == pytest.approx(0.10, abs=0.01)
    both = wrong.merge(records, on=["customer_id", "occurred_at"], how="left")
    assert (both["stage"] == both["recorded"]).all()
    assert (both["recorded"] != both["correct"]).all()
    unstaged = 1 - records["customer_id"].nunique() / 20_000
    assert unstaged == pytest.approx(0.05, abs=0.015)


def test_favourites_show_in_what_is_bought(reference: Path) -> None:
    columns = ["customer_id", "event_type", "brand", "size", "payment_method"]
    bought = frame(reference, "events", columns)
    bought = bought[bought["event_type"] == "purchase"]
    truth = frame(reference, "truth/customers").set_index("customer_id")
    for name in ("brand", "size", "payment_method"):
        counts = bought.groupby(["customer_id", name]).size()
        often = counts[counts.groupby("customer_id").transform("sum") >= 6]
        mode = often.reset_index(name="n").sort_values("n").groupby("customer_id")[name].last()
        favourite = truth[f"favourite_{name}"].reindex(mode.index)
        assert (mode == favourite).mean() > 1.2 * favourite.value_counts(normalize=True).max()


def test_everything_is_labelled_as_simulated(reference: Path) -> None:
    about = json.loads((reference / "manifest.json").read_text())
    assert about["simulated"] is True
    assert "no row describes a real person" in about["notice"]
    files = list(reference.rglob("*.parquet"))
    assert len(files) > len(simulate.CUSTOMER_TABLES)
    for file in files:
        assert b"Simulated data" in (pq.read_schema(file).metadata or {})[simulate.SIMULATED_LABEL]


# -- the engine reads it


def test_engine_reads_every_event_that_counts(
    small: Path, tallied: tuple[configs.Config, Tallies]
) -> None:
    config, tallies = tallied
    assert "simulated" in config.notice.lower()
    columns = ["event_type", "is_machine", "customer_id", "order_id"]
    links = frame(small, "identities").set_index("anonymous_id")["customer_id"]
    visits = frame(small, "anonymous_events", columns)
    visits["customer_id"] = visits["customer_id"].map(links)
    linked = visits[visits["customer_id"].notna()]
    assert 0 < len(linked) < len(visits)
    events = pd.concat([frame(small, "events", columns), linked])
    human = events[~events["is_machine"]]
    counts = tallies.daily.to_pandas().groupby("event_type")["count"].sum()
    for kind, found in human.groupby("event_type"):
        one_each = (
            found.drop_duplicates(["customer_id", "order_id"]) if kind == "purchase" else found
        )
        assert counts[kind] == len(one_each), kind
    assert set(tallies.attributes["attribute"].unique().to_pylist()) == set(scenario.ATTRIBUTES)


def test_visits_are_counted_with_and_without_a_name(
    small: Path, tallied: tuple[configs.Config, Tallies]
) -> None:
    columns = ["customer_id", "session_id", "occurred_at", "event_type", "is_machine"]
    links = frame(small, "identities").set_index("anonymous_id")["customer_id"]
    visits = frame(small, "anonymous_events", columns)
    visits["named"] = visits["customer_id"].isin(links.index)
    visits["customer_id"] = visits["customer_id"].map(links).fillna(visits["customer_id"])
    events = pd.concat([frame(small, "events", columns).assign(named=True), visits])
    pages = events[
        (events["event_type"] == "page_view") & events["session_id"].notna() & ~events["is_machine"]
    ]
    grouped = pages.groupby(["customer_id", "session_id"]).agg(
        at=("occurred_at", "min"), named=("named", "max"), pages=("named", "size")
    )
    day = grouped["at"].dt.tz_localize(None).to_numpy().astype("datetime64[D]").astype(int)
    expected = (
        grouped.assign(day=day, one=grouped["pages"] == 1)
        .groupby(["day", "named"])
        .agg(sessions=("pages", "size"), one_page=("one", "sum"), pages=("pages", "sum"))
    )
    assert tallied[1].sessions is not None
    found = tallied[1].sessions.to_pandas().set_index(["day", "named"])
    assert (found.to_numpy() == expected.to_numpy()).all()
    assert found.index.tolist() == expected.index.tolist()
    assert set(found.index.get_level_values("named")) == {True, False}


@pytest.mark.parametrize("name", sorted(TAXONOMIES))
def test_every_stage_is_lived_in_and_left_both_ways(
    tallied: tuple[configs.Config, Tallies], name: str
) -> None:
    config, tallies = tallied
    taxonomy = parse(Spot(TAXONOMIES[name], name), {})
    past = history(tallies, config.role_types())
    dates = [day_number(dt.date(2023, 7, 3)) + 28 * k for k in range(19)]
    path = np.stack([stage_at(taxonomy, past, day) for day in dates])
    path = np.where(past.exists_from[None, :] <= np.array(dates)[:, None], path, -1)
    size = len(taxonomy.names)
    assert (np.bincount(path[-1][path[-1] >= 0], minlength=size) >= 10).all()
    before, after = path[:-1].ravel(), path[1:].ravel()
    there = before >= 0
    moves = np.zeros((size, size), dtype=int)
    np.add.at(moves, (before[there], after[there]), 1)
    np.fill_diagonal(moves, 0)
    assert (moves.sum(axis=0) > 0).all(), "a stage that nobody enters"
    assert (moves.sum(axis=1) > 0).all(), "a stage that nobody leaves"
    for low, high in (("lapsed", taxonomy.names[1]), (taxonomy.names[-1], taxonomy.names[-3])):
        one, two = taxonomy.code(low), taxonomy.code(high)
        assert moves[one, two] > 0
        assert moves[two, one] > 0


# -- errors


@pytest.mark.parametrize(
    ("change", "word"),
    [({"customers": 0}, "customers"), ({"seed": -1}, "seed"), ({"chunk": 0}, "chunk")],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, change: dict[str, int], word: str
) -> None:
    with pytest.raises(UserError, match=word):
        simulate.write_simulation(
            "btyd", **{"customers": 10, "seed": 1, "output": tmp_path, **change}
        )  # type: ignore[arg-type]


def test_unknown_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        simulate.write_simulation("nowhere", customers=10, seed=1, output=tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("start", "2022-07-05", "Monday"),
        ("eligible", {"nobody": 0.5}, "unknown name"),
        ("surprise", 1, "surprise"),
        ("kind", "other", "kind"),
    ],
)
def test_wrong_scenario_is_refused(tmp_path: Path, key: str, value: object, word: str) -> None:
    content = yaml.safe_load(configs.find("scenarios/reference.yaml").read_text())
    content[key] = value
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=word):
        scenario.load_scenario(str(file))


def test_parts_of_a_table_are_one_dataset(reference: Path) -> None:
    whole = pds.dataset(reference / "events", format="parquet")
    assert (
        whole.count_rows()
        == json.loads((reference / "manifest.json").read_text())["rows"]["events"]
    )
