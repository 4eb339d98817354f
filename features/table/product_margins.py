"""Margins of what customers buy, from the products' margins and the lines of their orders."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.aggregates import segments
from features.calendar import day_number
from features.config.config import Config
from features.sources.products import read_products
from features.table.feature_store import FOLDER, TALLIES

# Lines of an average customer that count beside one's own: few orders say little of the next.
BESIDE = 5.0
PRODUCT = "product_id"


@dataclass(frozen=True)
class Margins:
    """Share of the price that is earned, by the value of one attribute of order lines.

    Attributes
    ----------
    attribute
        The declared attribute that tells products' margins apart best.
    shares
        Value -> mean margin of the products with it.
    """

    attribute: str
    shares: pd.Series[Any]

    @classmethod
    def of(cls, config: Config, at: dt.date) -> Margins | None:
        """Margins as the products table has them; None where it has none that lines can name."""
        table = read_products(config, at)
        if table is None or table["margin"].isna().all():
            return None
        known_margins = table[table["margin"].notna()]
        attributes = [
            n for n in (PRODUCT, *table.columns) if n in config.attributes() and n in known_margins
        ]
        shares_by_attribute = {
            name: known_margins.groupby(known_margins[name].astype(str))["margin"].mean()
            for name in attributes
        }
        if not shares_by_attribute:
            return None
        variance_by_attribute = {
            name: float(known_margins[name].astype(str).map(shares).var(ddof=0))
            for name, shares in shares_by_attribute.items()
        }
        most_telling = max(shares_by_attribute, key=lambda name: variance_by_attribute[name])
        return cls(most_telling, shares_by_attribute[most_telling])


def bought(output: Path, config: Config, margins: Margins, *, before: int) -> pd.DataFrame:
    """Order lines whose margin is known, by customer and day, known before a day.

    Returns
    -------
    DataFrame
        customer_id, day (number), lines, earned (sum of the lines' margin shares).
    """
    types = list(config.role_types().get("purchase", ()))
    filters: list[tuple[str, str, Any]] = [
        ("attribute", "==", margins.attribute),
        ("event_type", "in", types),
        ("known_day", "<", before),
        ("day", "<", before),
    ]
    columns = ["customer_id", "choice", "day", "count"]
    files = segments.table_files(output / FOLDER / TALLIES, "attributes")
    parts = [pd.read_parquet(file, columns=columns, filters=filters) for file in files]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    share = rows["choice"].astype(str).map(margins.shares).to_numpy(dtype=float, na_value=np.nan)
    rows = rows.assign(customer_id=rows["customer_id"].astype(str), earned=share * rows["count"])
    rows = rows[~np.isnan(share)].rename(columns={"count": "lines"})
    grouped = rows.groupby(["customer_id", "day"], as_index=False)[["lines", "earned"]].sum()
    return grouped


def margin_shares(output: Path, config: Config, *, at: int, day: dt.date) -> Any:
    """Share of each customer's spend that is earned, by what they bought before a snapshot.

    Drawn toward everybody's share where a customer has few lines.

    Returns
    -------
    Series or None
        By customer id; None where products have no margins. Who bought nothing is not in it.
    """
    margins = Margins.of(config, day)
    if margins is None:
        return None
    rows = bought(output, config, margins, before=at)
    totals = rows.groupby("customer_id")[["lines", "earned"]].sum()
    lines = float(totals["lines"].sum())
    if lines == 0:
        return None
    population_share = float(totals["earned"].sum()) / lines
    return (totals["earned"] + BESIDE * population_share) / (totals["lines"] + BESIDE)


def earned(
    output: Path, config: Config, entries: pd.DataFrame, *, day: dt.date, otherwise: float
) -> Sequence[float]:
    """Share of the price of what was bought after each entry; of unknown lines `otherwise`.

    Parameters
    ----------
    output, config
        Where the tallies are, and what they mean.
    entries
        One row an entry: customer_id, entered_at, within_days.
    day
        As of which the products' margins count.
    otherwise
        Share where products have no margins, or the lines do not name one that has.
    """
    margins = Margins.of(config, day)
    shares = np.full(len(entries), otherwise)
    if margins is None or not len(entries):
        return shares.tolist()
    rows = bought(output, config, margins, before=day_number(day))
    by_customer = rows.set_index("customer_id")
    first_days = pd.to_datetime(entries["entered_at"]).map(lambda at: day_number(at.date()))
    frame = pd.DataFrame(
        {
            "entry": np.arange(len(entries)),
            "customer_id": entries["customer_id"].astype(str).to_numpy(),
            "first": first_days.to_numpy(dtype=np.int64),
            "days": entries["within_days"].to_numpy(dtype=np.int64),
        }
    ).merge(by_customer, left_on="customer_id", right_index=True)
    is_within = (frame["day"] >= frame["first"]) & (frame["day"] < frame["first"] + frame["days"])
    totals = frame[is_within].groupby("entry")[["lines", "earned"]].sum()
    shares[totals.index.to_numpy()] = (totals["earned"] / totals["lines"]).to_numpy()
    return shares.tolist()
