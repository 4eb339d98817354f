"""Dictionary encoding: tallies are grouped, sorted and transferred as integers."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Column, Table


class TextNumbers:
    """Integer codes for repeated texts (customers, event types, attributes, choices).

    First note all texts of all sources, then `rank` them, then encode tables with `put`.
    """

    kind = "int32"

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.tables: dict[str, Table] = {}
        self.ranked: dict[str, pa.Array] = {}
        self.made = 0

    def note(self, name: str, *texts: Column | pa.Array) -> None:
        """Number the texts of a column that have no number yet."""
        for values in texts:
            if isinstance(values, pa.Array):
                new_texts = ibis.memtable(pa.table({"text": values}))
            else:
                new_texts = values.name("text").as_table().distinct()
            new_texts = new_texts.filter(new_texts.text.notnull())
            numbered, count = self.tables.get(name), 0
            if numbered is not None:
                new_texts, count = (
                    new_texts.anti_join(numbered, "text"),
                    int(numbered.count().execute()),
                )
            new_numbers = self._stored(name, new_texts.mutate(number=_row_numbers(count)))
            if numbered is None:
                self.tables[name] = new_numbers
            elif int(new_numbers.count().execute()):
                self.tables[name] = self._stored(name, ibis.union(numbered, new_numbers))

    def _stored(self, name: str, table: Table) -> Table:
        self.made += 1
        return self.connection.create_table(f"numbers_{name}_{self.made}", table, temp=True)

    def places(self, name: str) -> dict[str, int]:
        """Return text -> number of a column with few distinct texts."""
        text_numbers = self.tables[name].to_pyarrow()
        return dict(
            zip(text_numbers["text"].to_pylist(), text_numbers["number"].to_pylist(), strict=True)
        )

    def put(self, table: Table, name: str) -> Table:
        """Replace a column's texts by their numbers."""
        renamed = self.tables[name].rename({f"{name}_text": "text", f"{name}_number": "number"})
        joined = table.inner_join(renamed, table[name] == renamed[f"{name}_text"])
        other_columns = [column for column in table.columns if column != name]
        return joined.select(*other_columns, **{name: joined[f"{name}_number"]})

    def texts(self, table: Table, names: tuple[str, ...]) -> Table:
        """Replace the numbers of some columns by their texts."""
        for column_name in names:
            text_numbers = self.tables[column_name].rename(
                {f"{column_name}_text": "text", f"{column_name}_number": "number"}
            )
            joined = table.inner_join(
                text_numbers, table[column_name] == text_numbers[f"{column_name}_number"]
            )
            other_columns = [column for column in table.columns if column != column_name]
            table = joined.select(*other_columns, **{column_name: joined[f"{column_name}_text"]})
        return table

    def rank(self) -> None:
        """Renumber all noted texts in sorted order; call it before the first `put`."""
        for column_name, table in self.tables.items():
            texts = table.to_pyarrow()["text"].combine_chunks()
            self.ranked[column_name] = texts.take(pa.compute.sort_indices(texts))
            places = pa.array(range(len(texts)), pa.int32())
            self.tables[column_name] = self._stored(
                column_name,
                ibis.memtable(pa.table({"text": self.ranked[column_name], "number": places})),
            )

    def size(self, name: str) -> int:
        """Return the number of ranked texts of a column."""
        return len(self.ranked[name]) if name in self.ranked else 0

    def sorted(self, table: Table, keys: list[str]) -> pa.Table:
        """Return the rows sorted by `keys`, texts as dictionary arrays."""
        sorted_rows = table.order_by(keys).to_pyarrow()
        columns = {}
        for column_name in (*keys, *(other for other in table.columns if other not in keys)):
            column = sorted_rows[column_name]
            if column_name in self.ranked:
                column = _dictionary_array(column.combine_chunks(), self.ranked[column_name])
            columns["customer_id" if column_name == "customer" else column_name] = column
        return pa.table(columns)


def _dictionary_array(places: pa.Array, texts: pa.Array) -> pa.DictionaryArray:
    """Build a dictionary array whose dictionary is only the range of texts in use."""
    if not len(places):
        return pa.DictionaryArray.from_arrays(places, texts.slice(0, 0))
    smallest, largest = (pa.compute.min_max(places)[end].as_py() for end in ("min", "max"))
    offsets = pa.compute.subtract(places, pa.scalar(smallest, places.type))
    return pa.DictionaryArray.from_arrays(offsets, texts.slice(smallest, largest - smallest + 1))


class PlainTexts:
    """Texts without encoding, for engines that would have to ship the codes between machines."""

    kind = "string"

    def places(self, name: str) -> dict[str, str]:
        """Return a mapping of every text to itself."""
        return _Itself()

    def put(self, table: Table, name: str) -> Table:
        """Return the table unchanged."""
        return table


class _Itself(dict[str, str]):
    def __missing__(self, text: str) -> str:
        return text

    def __contains__(self, text: object) -> bool:
        return True


def _row_numbers(size: int) -> Any:
    return (ibis.row_number() + size).cast("int32")
