"""The page docs/worked-example.md: five events of one customer, followed through every step.

Every number on the page is computed here by the product's own functions, so that the page cannot
say what the code does not do.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pandas as pd

from features.aggregates.daily_aggregates import tally
from features.aggregates.tallies import Tallies
from features.calendar import day_date, day_number
from features.config.config import load
from features.table.snapshot_builder import Builder

EVENTS = """event,customer,at,type,amount,order,known
1,c7,2025-01-10T09:30:00Z,visit,,,2025-01-10T09:30:00Z
2,c7,2025-01-12T23:30:00Z,order,40.00,o1,2025-01-12T23:30:00Z
3,c7,2025-02-20T10:00:00Z,order,25.50,o2,2025-02-20T10:00:00Z
4,c7,2025-03-05T08:00:00Z,refund,-5.50,o2,2025-03-09T08:00:00Z
5,c7,2025-04-02T12:00:00Z,order,60.00,o3,2025-04-02T12:00:00Z
"""
CONFIG = """name: worked-example
timezone: Europe/Berlin
currency: EUR
data_through: 2025-06-30
sources:
  - events: events.csv
    columns:
      customer_id: customer
      occurred_at: {column: at, zone: UTC}
      known_at: {column: known, zone: UTC}
      value: amount
      order_id: order
    event_type: {column: type}
roles: {touch: [visit], purchase: [order], refund: [refund]}
stages: {file: stages/recency_frequency.yaml, params: {L: 60, w: 90, k: 3, m: 1}}
activity_days: 60
windows: [30, 90]
churn: {horizon_days: 30}
clv: {horizon_days: 30}
"""
SNAPSHOT = dt.date(2025, 3, 8)
LATER = dt.date(2025, 3, 11)
SHOWN = {
    "purchase__count_30d": "one order on the 30 days before 8 March: that of 20 February",
    "purchase__count_90d": "both orders",
    "purchase__sum_90d": "40.00 + 25.50 EUR; the refund of 5 March is not known yet",
    "refund__sum_30d": "0: the shop learns of the refund on 9 March, after the snapshot",
    "purchase__recency_days": "days from 20 February to 8 March",
    "cadence__gap_mean": "days from 13 January to 20 February, the only gap so far",
    "touch__recency_days": "days since the visit of 10 January",
    "tenure__days": "days since the first event",
    "stage__days_to_lapse": "days of silence until the rules call the customer lapsed",
}


def worked_example() -> str:
    """Text of the page."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "events.csv").write_text(EVENTS, encoding="utf-8")
        (folder / "shop.yaml").write_text(CONFIG, encoding="utf-8")
        config = load(folder / "shop.yaml")
        tallies, _ = tally(
            config, latest=day_number(dt.date(2026, 1, 1)), quarantine=folder / "quarantine"
        )
        builder = Builder.from_tallies(config, tallies)
        at, later = day_number(SNAPSHOT), day_number(LATER)
        features = builder.features(at)
        labels = {task: builder.labels(task, at) for task in ("churn", "clv", "transition")}
        names = builder.taxonomy.names
        return "\n".join(
            [
                HEAD,
                _csv_table(EVENTS),
                DAILY,
                _daily_table(tallies),
                HISTORY,
                _feature_table(features),
                _late_refund(builder.features(later)),
                STAGE.format(stage=features["stage"].iloc[0]),
                LABELS.format(
                    no_purchase=int(labels["churn"]["no_purchase"].iloc[0]),
                    spend=labels["clv"]["spend"].iloc[0],
                    orders=int(labels["clv"]["orders"].iloc[0]),
                    until=labels["clv"]["label_end_at"].iloc[0].date(),
                    next_stage=names[int(labels["transition"]["next_code"].iloc[0])],
                    period=int(labels["transition"]["period"].iloc[0]),
                ),
            ]
        )


def _csv_table(text: str) -> str:
    head, *rows = [line.split(",") for line in text.splitlines()]
    return _markdown(head, rows)


def _daily_table(tallies: Tallies) -> str:
    daily = tallies.daily.to_pandas().sort_values(["day", "event_type"])
    rows = [
        [row.event_type, str(day_date(row.day)), str(day_date(row.known_day)), str(row.count),
         str(row.value)]
        for row in daily.itertuples()
    ]  # fmt: skip
    return _markdown(["event type", "day", "known on", "count", "value in cents"], rows)


def _feature_table(features: pd.DataFrame) -> str:
    rows = [[f"`{column}`", f"{features[column].iloc[0]:g}", why] for column, why in SHOWN.items()]
    return _markdown(["feature", "value", "why"], rows)


def _late_refund(features: pd.DataFrame) -> str:
    value = features["refund__sum_30d"].iloc[0]
    return LATE.format(later=LATER, value=value)


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


HEAD = f"""# One customer, step by step

Five events of one customer of a shop in Berlin, followed from the file to the labels. The code
computes every number on this page (`scripts/worked_example.py`), and a test keeps it current.

## 1. Events

The config says that times are UTC, which type is an order, and which column tells when the shop
learned of an event:

```yaml
{CONFIG.rstrip()}
```
"""
DAILY = """
## 2. Daily aggregates

`features/sources` reads and checks the rows; `features/aggregates` counts them into one row per
customer, event type, local day and day on which the event became known. Order 1 was placed at
23:30 UTC, which is 13 January in Berlin. Amounts are whole cents, so sums are exact. The refund
happened on 5 March and was known four days later.
"""
HISTORY = """
## 3. Features at a snapshot

A snapshot is the midnight that begins a day, here 8 March 2025. It sees what happened *and* was
known before it. `features/history` keeps running sums over the days, so that any window is the
difference of two of them; `features/table/families` turns windows into features:
"""
LATE = """
At the snapshot of {later:%-d %B} the refund is known: `refund__sum_30d` is {value:g}."""
STAGE = """
## 4. Stage

`features/lifecycle` applies the rules of `configs/stages/recency_frequency.yaml`: the customer is
in **{stage}** on 8 March: at least two orders, the last one less than 60 days ago (`L`), and
fewer than three (`k`) in the last 90 days (`w`).
"""
LABELS = """## 5. Labels

`features/table/labels.py`, the only module that may look at or after a snapshot, reads what came
next, once it can be known in full:

| label | value | meaning |
| --- | --- | --- |
| `no_purchase` | {no_purchase} | the customer ordered again within 30 days |
| `spend` | {spend:g} | EUR spent within 30 days, until {until} |
| `orders` | {orders} | order days within 30 days |
| next stage | {next_stage} | reached in period {period} after the snapshot |

A model learns from many such rows (features on the left, labels on the right), one per customer
and snapshot. A snapshot trains a model only if its labels were known in full on the day the model
is used or tested: that is the *embargo* (`features/table/training_snapshots.py`).
"""
