"""Made-up event tables of any size, in order of time, written in bounded memory.

A customer's pace is drawn from a gamma distribution, so that a few do most of what is done; amounts
are log-normal, to the cent. The same arguments always give the same rows.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

TYPES = ("visit", "email_open", "email_click", "cart", "purchase", "support")
WEIGHTS = (0.45, 0.22, 0.10, 0.10, 0.11, 0.02)
EPOCH = dt.date(1970, 1, 1)
FIRST = dt.date(2022, 1, 1)
DAYS = 730
SLICE_DAYS = 10  # drawn and sorted at a time
DAY_US = 86_400_000_000
ATTRIBUTES = {f"attribute_{i}": 4 + 6 * i for i in range(10)}  # name -> number of values


def write(
    path: Path,
    *,
    customers: int,
    events_each: int = 100,
    seed: int = 1,
    attributes: int = 0,
    days: range = range(DAYS),
) -> int:
    """Write a table; returns its rows.

    Columns: customer_id (int64), event_type (text), occurred_at (UTC, microseconds), value (amount
    in major units with two decimals, 0 but for carts and purchases), and declared attributes.
    """
    rng = np.random.default_rng([seed, customers, days.start])
    pace = np.random.default_rng([seed, customers]).gamma(1.5, 1 / 1.5, customers)
    pace *= events_each / DAYS
    path.parent.mkdir(parents=True, exist_ok=True)
    written, writer = 0, None
    for start in range(days.start, days.stop, SLICE_DAYS):
        table = _slice(rng, pace, start, min(SLICE_DAYS, days.stop - start), attributes)
        if writer is None:
            writer = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table, row_group_size=1 << 20)
        written += table.num_rows
    if writer is not None:
        writer.close()
    return written


def _slice(
    rng: np.random.Generator, pace: np.ndarray, start: int, days: int, attributes: int
) -> pa.Table:
    customer = np.repeat(np.arange(len(pace)), rng.poisson(pace * days)) + 1_000_000
    n = len(customer)
    moment = rng.integers(0, days * DAY_US, n)
    order = np.argsort(moment, kind="stable")
    first = (FIRST - EPOCH).days + start
    kind = rng.choice(len(TYPES), n, p=WEIGHTS).astype(np.int8)
    value = np.round(rng.lognormal(3.2, 0.8, n), 2)
    value[~np.isin(kind, (3, 4))] = 0.0
    columns = {
        "customer_id": pa.array(customer[order]),
        "event_type": pa.DictionaryArray.from_arrays(pa.array(kind), pa.array(TYPES)).cast(
            pa.string()
        ),
        "occurred_at": pa.array(moment[order] + first * DAY_US, pa.timestamp("us", tz="UTC")),
        "value": pa.array(value),
    }
    for name, size in list(ATTRIBUTES.items())[:attributes]:
        codes = pa.array(rng.integers(0, size, n).astype(np.int16))
        names = pa.array([f"{name}_{i}" for i in range(size)])
        columns[name] = pa.DictionaryArray.from_arrays(codes, names).cast(pa.string())
    return pa.table(columns)


def monthly(count: int = 12) -> list[dt.date]:
    """The first days of the last months of the table, and the day after its end."""
    last = FIRST + dt.timedelta(days=DAYS)
    months = [dt.date(y, m, 1) for y in range(2022, 2025) for m in range(1, 13)]
    return [m for m in months if m <= last][-count:]


def weekly(count: int = 52) -> list[dt.date]:
    """Days a week apart, up to the day after the table's end."""
    last = FIRST + dt.timedelta(days=DAYS)
    return [last - dt.timedelta(days=7 * k) for k in reversed(range(count))]
