"""Rows of erased customers that new source data bring again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.sources.erasure_list import ErasureList
from features.sources.keys import key_value
from features.sources.personal_files import Person, person_mask, personal_files, remove_rows

QUARANTINE = "quarantine"


def without_erased_records(output: Path, records: pa.Table) -> pa.Table:
    """A table with a column customer_id, without the rows of erased customers."""
    erased = ErasureList.load(output)
    erased_ids = erased.among(records["customer_id"].unique().to_pylist()) if erased else []
    if not erased_ids:
        return records
    return records.filter(
        pc.invert(pc.is_in(records["customer_id"], value_set=pa.array(erased_ids)))
    )


def scrub_quarantine(output: Path) -> int:
    """Remove erased customers from newly quarantined rows; return the number of rows removed."""
    erased = ErasureList.load(output)
    if not erased:
        return 0
    removed_rows = 0
    for path in personal_files(output / QUARANTINE):
        if "customer_id" not in pq.read_schema(path).names:
            continue
        quarantined_ids = (
            pq.read_table(path, columns=["customer_id"])["customer_id"].unique().to_pylist()
        )
        for customer in {key_value(name) for name in erased.among(quarantined_ids)} - {None}:
            mask = person_mask(path, Person(str(customer)))
            remove_rows(path, mask)
            removed_rows += int(mask.sum())
    return removed_rows
