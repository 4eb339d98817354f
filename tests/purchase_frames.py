"""Feature frames with CLV labels, made from purchase days by plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd

START = pd.Timestamp("2020-01-01")
HORIZON = 60


def histories(seed: int, *, n: int = 250, days: int = 480) -> dict[str, list[tuple[int, float]]]:
    """Purchases (day, amount) of customers who keep a rate and a basket of their own, and leave."""
    random = np.random.default_rng(seed)
    found = {}
    for number in range(n):
        rate, basket = random.gamma(1.2) / 15, 20 * random.lognormal(0, 0.5)
        day, leave = float(random.integers(0, 120)), random.exponential(700)
        purchases = []
        while day < days and (day < leave or not purchases):
            purchases.append((int(day), round(basket * random.lognormal(0, 0.4), 2)))
            day += max(random.exponential(1 / rate), 1.0)
        found[f"c{number:04d}"] = purchases
    return found


def snapshot(purchases: dict[str, list[tuple[int, float]]], at: int) -> pd.DataFrame:
    """Labelled rows of all customers at day `at`; those without a purchase before it are leads."""
    rows = [
        {"customer_id": customer, **features(known, at), **labels(known, at)}
        for customer, known in purchases.items()
    ]
    frame = pd.DataFrame(rows)
    frame.insert(1, "snapshot_at", START + pd.Timedelta(days=at))
    frame["stage"] = np.select(
        [frame["purchase__recency_days"] <= 90, frame["purchase__recency_days"] > 90],
        ["active", "lapsed"],
        default="lead",
    )
    frame["label_end_at"] = frame["snapshot_at"] + pd.Timedelta(days=HORIZON)
    return frame


def labels(purchases: list[tuple[int, float]], at: int) -> dict[str, float]:
    """Spend and orders within the horizon."""
    ahead = [amount for day, amount in purchases if at <= day < at + HORIZON]
    return {"spend": float(sum(ahead)), "orders": float(len(ahead))}


def features(purchases: list[tuple[int, float]], at: int) -> dict[str, float]:
    """The columns the CLV part looks at, and one of a lead's touches."""
    known = [(day, amount) for day, amount in purchases if day < at]
    first_day = purchases[0][0] if purchases else 0
    row: dict[str, float] = {"touch__count_all": float(10_000 / (1 + abs(first_day - at)))}
    amounts = [amount for _, amount in known]
    for window in (30, 60, 90, 180):
        inside = [(day, amount) for day, amount in known if day >= at - window]
        row[f"purchase__sum_{window}d"] = float(sum(amount for _, amount in inside))
        row[f"purchase__days_{window}d"] = float(len({day for day, _ in inside}))
    row |= {
        "purchase__count_all": float(len(known)),
        "purchase__days_all": float(len({day for day, _ in known})),
        "purchase__sum_all": float(sum(amounts)),
    }
    later = ["recency_days", "age_days", "amount_mean", "amount_max", "amount_first"]
    row |= {f"purchase__{name}": np.nan for name in later}
    row |= {f"btyd__{name}": np.nan for name in ("x", "t_x", "T", "value_n", "mean_value")}
    row["cadence__gap_mean"] = np.nan
    if not known:
        return row
    first, last = known[0][0], known[-1][0]
    repeats = len({day for day, _ in known}) - 1
    valued = [amount for day, amount in known if day > first and amount > 0]
    row |= {
        "purchase__recency_days": float(at - last),
        "purchase__age_days": float(at - first),
        "purchase__amount_mean": float(np.mean(amounts)),
        "purchase__amount_max": max(amounts),
        "purchase__amount_first": amounts[0],
        "btyd__x": float(repeats),
        "btyd__t_x": float(last - first),
        "btyd__T": float(at - first),
        "btyd__value_n": float(len(valued)),
        "btyd__mean_value": float(np.mean(valued)) if valued else np.nan,
        "cadence__gap_mean": (last - first) / repeats if repeats else np.nan,
    }
    return row


def rolling(
    purchases: dict[str, list[tuple[int, float]]], *, last: int = 400, snapshots: int = 5
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Matured training snapshots every 30 days, the latest a horizon before `last`; and `last`."""
    days = [last - HORIZON - 30 * number for number in reversed(range(snapshots))]
    train = pd.concat([snapshot(purchases, day) for day in days], ignore_index=True)
    return train, snapshot(purchases, last)
