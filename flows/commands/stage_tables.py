"""How stages are shown and written: tables for the terminal, a parquet file of paths."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table
from rich.text import Text

from features.lifecycle.sub_stages_and_flags import Reason, Standing, path_frame, stage_path
from features.table.snapshot_builder import Builder


def counts_table(found: Standing, at: str) -> Table:
    """Customers and share by stage."""
    table = Table("stage", title=f"stages on {at}")
    total = max(sum(found.counts.values()), 1)
    for name in ("customers", "share"):
        table.add_column(name, justify="right")
    for stage, n in found.counts.items():
        table.add_row(stage, f"{n:,}", f"{n / total:.1%}")
    table.add_row("all", f"{sum(found.counts.values()):,}", "", style="bold")
    return table


def moves_table(found: Standing, at: str, to: str) -> Table:
    """Customers by stage at the first date (rows) and the second (columns)."""
    table = Table("from \\ to", title=f"moves from {at} to {to}")
    for stage in found.transitions:
        table.add_column(stage, justify="right")
    for stage, row in found.transitions.items():
        table.add_row(stage, *(f"{n:,}" if n else "." for n in row.values()))
    return table


def reason_line(reason: Reason) -> Text:
    """One step of an explanation."""
    return Text.assemble(
        ("yes", "green") if reason.holds else ("no ", "red"),
        f" {'  ' * reason.depth}",
        (reason.text, "bold" if reason.depth == 0 else ""),
        (f"  (saw {reason.seen})" if reason.seen else "", "dim"),
    )


def write_path(builder: Builder, days: list[int], file: Path) -> int:
    """Write every customer's stage at every date; returns the number of rows."""
    schema = pa.schema(
        [
            ("customer_id", pa.string()),
            ("snapshot_at", pa.timestamp("s")),
            ("stage", pa.dictionary(pa.int8(), pa.string())),
        ]
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    partial, rows = file.with_name(file.name + ".partial"), 0
    with pq.ParquetWriter(partial, schema) as writer:
        for day, who, code in stage_path(builder.taxonomy, builder.history, days):
            frame = path_frame(builder.taxonomy, builder.history, day, who, code)
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
            rows += len(frame)
    os.replace(partial, file)
    return rows
