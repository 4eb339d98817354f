"""Numbers for texts, so that tallies are grouped, sorted and handed over as numbers."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Column, Table


class Numbers:
    """Numbers for texts that stand in many rows (customers, event types, attributes, choices).

    First all texts of all sources are noted, then ranked, and from then on numbers stand for them.
    """

    kind = "int32"

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.tables: dict[str, Table] = {}
        self.ranked: dict[str, pa.Array] = {}
        self.made = 0

    def note(self, name: str, *texts: Column | pa.Array) -> None:
        """Give those texts of a column a number that have none yet."""
        for some in texts:
            if isinstance(some, pa.Array):
                found = ibis.memtable(pa.table({"text": some}))
            else:
                found = some.name("text").as_table().distinct()
            found = found.filter(found.text.notnull())
            known, size = self.tables.get(name), 0
            if known is not None:
                found, size = found.anti_join(known, "text"), int(known.count().execute())
            fresh = self._stored(name, found.mutate(number=_numbered(size)))
            if known is None:
                self.tables[name] = fresh
            elif int(fresh.count().execute()):
                self.tables[name] = self._stored(name, ibis.union(known, fresh))

    def _stored(self, name: str, table: Table) -> Table:
        self.made += 1
        return self.connection.create_table(f"numbers_{name}_{self.made}", table, temp=True)

    def places(self, name: str) -> dict[str, int]:
        """The number of every text of a column with few of them."""
        found = self.tables[name].to_pyarrow()
        return dict(zip(found["text"].to_pylist(), found["number"].to_pylist(), strict=True))

    def put(self, table: Table, name: str) -> Table:
        """The table with numbers in place of a column's noted texts."""
        renamed = self.tables[name].rename({f"{name}_text": "text", f"{name}_number": "number"})
        joined = table.inner_join(renamed, table[name] == renamed[f"{name}_text"])
        kept = [c for c in table.columns if c != name]
        return joined.select(*kept, **{name: joined[f"{name}_number"]})

    def texts(self, table: Table, names: tuple[str, ...]) -> Table:
        """The table with texts in place of numbers."""
        for name in names:
            known = self.tables[name].rename({f"{name}_text": "text", f"{name}_number": "number"})
            joined = table.inner_join(known, table[name] == known[f"{name}_number"])
            kept = [c for c in table.columns if c != name]
            table = joined.select(*kept, **{name: joined[f"{name}_text"]})
        return table

    def rank(self) -> None:
        """Number all noted texts anew by their order; nothing may have been put before."""
        for name, table in self.tables.items():
            texts = table.to_pyarrow()["text"].combine_chunks()
            self.ranked[name] = texts.take(pa.compute.sort_indices(texts))
            places = pa.array(range(len(texts)), pa.int32())
            self.tables[name] = self._stored(
                name, ibis.memtable(pa.table({"text": self.ranked[name], "number": places}))
            )

    def size(self, name: str) -> int:
        """How many texts of a column are noted."""
        return len(self.ranked[name]) if name in self.ranked else 0

    def sorted(self, table: Table, keys: list[str]) -> pa.Table:
        """The rows by rising texts and days, every text as a place in a dictionary."""
        found = table.order_by(keys).to_pyarrow()
        columns = {}
        for name in (*keys, *(c for c in table.columns if c not in keys)):
            column = found[name]
            if name in self.ranked:
                column = _as_texts(column.combine_chunks(), self.ranked[name])
            columns["customer_id" if name == "customer" else name] = column
        return pa.table(columns)


def _as_texts(places: pa.Array, texts: pa.Array) -> pa.DictionaryArray:
    """Places in rising texts, with a dictionary of no more than the stretch that they lie in."""
    if not len(places):
        return pa.DictionaryArray.from_arrays(places, texts.slice(0, 0))
    first, last = (pa.compute.min_max(places)[which].as_py() for which in ("min", "max"))
    within = pa.compute.subtract(places, pa.scalar(first, places.type))
    return pa.DictionaryArray.from_arrays(within, texts.slice(first, last - first + 1))


class Texts:
    """Texts that stand for themselves, on engines that would have to ship the numbers around."""

    kind = "string"

    def places(self, name: str) -> dict[str, str]:
        """Every text of a column, by itself."""
        return _Itself()

    def put(self, table: Table, name: str) -> Table:
        """The table as it is."""
        return table


class _Itself(dict[str, str]):
    def __missing__(self, text: str) -> str:
        return text

    def __contains__(self, text: object) -> bool:
        return True


def _numbered(size: int) -> Any:
    return (ibis.row_number() + size).cast("int32")
