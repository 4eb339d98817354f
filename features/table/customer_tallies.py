"""Stored tallies of single customers, to which the events since the night are added.

Tallies add up, so that a customer's history need not be read again: their stored days and the new
events give what all events would give.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.aggregates import segments
from features.aggregates.tallies import Tallies
from features.calendar import day_date
from features.errors import UserError
from features.table.feature_store import FOLDER, TALLIES, required_manifest

_DAILY_TEXTS = ("customer_id", "event_type")
_CHOICE_TEXTS = (*_DAILY_TEXTS, "attribute", "choice")


@dataclass(frozen=True)
class StoredHistory:
    """What an output folder has stored, up to a day from which all events are new.

    Attributes
    ----------
    output
        The output folder.
    before
        Day number: the history is what was known before it.
    """

    output: Path
    before: int

    def of(self, customers: Collection[str]) -> Tallies:
        """Tallies of some customers (see `stored_tallies`)."""
        return stored_tallies(self.output, customers, self.before)


def stored_tallies(output: Path, customers: Collection[str], before: int) -> Tallies:
    """What was known of some customers before a day, from the tallies of an output folder.

    Parameters
    ----------
    output
        The output folder.
    customers
        Ids of customers, at least one; of those without stored events there are no rows.
    before
        Day number: parts that became known on it or later are left out.

    Returns
    -------
    Tallies
        daily, attributes, and orders (None where no source stores them).

    Raises
    ------
    UserError
        If nothing is stored, or a file has changed since it was written.
    """
    manifest, folder = required_manifest(output), output / FOLDER / TALLIES
    parts = [
        # The first text after an id ends the range that holds this id alone.
        segments.read_customers(folder, manifest.segments, customer, f"{customer}\0")
        for customer in sorted(customers)
    ]
    daily = _joined([part.daily for part in parts], _DAILY_TEXTS, before)
    attributes = _joined([part.attributes for part in parts], _CHOICE_TEXTS, before)
    return Tallies(daily, attributes, orders=_orders(folder, manifest.segments, customers, before))


def added_tallies(stored: Tallies, new: Tallies, since: int) -> Tallies:
    """Tallies of the same customers with those of later events added.

    Raises
    ------
    UserError
        If an event was known before the day number `since`: it would count twice.
    """
    earlier = pc.sum(pc.less(new.daily["known_day"], since)).as_py()
    if earlier:
        raise UserError(
            "events",
            found=f"{earlier} days with events that were known before {day_date(since)}",
            expected="only events since then: the stored history has the earlier ones",
            hint="leave them out, or send all events of each customer without since_run",
        )
    return Tallies(_together(stored.daily, new.daily), _together(stored.attributes, new.attributes))


def _together(stored: pa.Table, new: pa.Table) -> pa.Table:
    plain = pa.schema([(f.name, _plain(f.type)) for f in stored.schema])
    return pa.concat_tables([stored.cast(plain), new.select(plain.names).cast(plain)])


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _joined(tables: list[pa.Table], texts: Iterable[str], before: int) -> pa.Table:
    """Tables as one, with plain texts, without what became known too late."""
    plain = [
        pa.schema([(f.name, pa.string() if f.name in texts else f.type) for f in table.schema])
        for table in tables
    ]
    table = pa.concat_tables(
        [table.cast(schema) for table, schema in zip(tables, plain, strict=True)]
    )
    return table.filter(pc.field("known_day") < before)


def _orders(
    folder: Path, names: Iterable[str], customers: Collection[str], before: int
) -> pa.Table | None:
    """Stored parts of the customers' orders, from sources that grow; None without such sources."""
    files = [folder / name / "orders.parquet" for name in names]
    wanted = [("customer", "in", sorted(customers)), ("known_day", "<", before)]
    tables = [pq.read_table(file, filters=wanted) for file in files if file.exists()]
    return pa.concat_tables(tables) if tables else None
