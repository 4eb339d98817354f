"""Write examples/subscriptions.csv: `python scripts/example_subscriptions.py`.

A made-up streaming service over 18 months: monthly payments, visits, cancellations, and payments
that failed. Members who visit less and less are likelier to cancel; a failed payment is chance.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd

START = dt.date(2023, 1, 1)
DAYS = 546
PRICES = {"basic": 9.9, "family": 15.9}
TARGET = Path(__file__).parent.parent / "examples" / "subscriptions.csv"

Row = tuple[str, dt.date, str, str, float | None]


def member(name: str, random: np.random.Generator) -> list[Row]:
    """All events of one member, from the first payment to the last, and the end if there is one."""
    plan = str(random.choice(list(PRICES), p=[0.7, 0.3]))
    day, visits = int(random.integers(0, DAYS - 60)), float(random.gamma(3, 1))
    rows: list[Row] = []
    while day < DAYS:
        rows.append((name, _date(day), "payment", plan, PRICES[plan]))
        visits *= float(random.lognormal(-0.05, 0.35))
        for offset in sorted(random.integers(0, 30, random.poisson(visits))):
            rows.append((name, _date(day + int(offset)), "visit", plan, None))
        last = day + int(random.integers(10, 30))
        if random.random() < 0.32 * np.exp(-visits):
            rows.append((name, _date(last), "cancelled", plan, None))
            break
        if random.random() < 0.012:
            rows.append((name, _date(day + 30), "payment_failed", plan, None))
            break
        day += 30
    return [row for row in rows if row[1] < _date(DAYS)]


def _date(day: int) -> dt.date:
    return START + dt.timedelta(days=day)


def members(count: int, seed: int) -> pd.DataFrame:
    """One row an event: member, day, event, plan, amount (of payments; else empty)."""
    random = np.random.default_rng(seed)
    rows = [row for number in range(count) for row in member(f"m{number:04d}", random)]
    return pd.DataFrame(rows, columns=["member", "day", "event", "plan", "amount"])


if __name__ == "__main__":
    members(300, 11).to_csv(TARGET, index=False)
