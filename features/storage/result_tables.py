"""Tables of results in the scores store: effects of campaigns, and predictions against outcomes.

A table is a parquet file in ``OUTPUT/measurement``, and a table of the store. Readers find it, with
no rows, before the first result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.storage.runs import write_parquet

MEASUREMENT_FOLDER = "measurement"

_EFFECTS = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("by", pa.string()),
        ("group_name", pa.string()),
        ("outcome", pa.string()),
        ("n_treatment", pa.int64()),
        ("n_control", pa.int64()),
        ("treatment", pa.float64()),
        ("control", pa.float64()),
        ("difference", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("p_value", pa.float64()),
        ("low_any_time", pa.float64()),
        ("high_any_time", pa.float64()),
        ("p_any_time", pa.float64()),
        ("q_value", pa.float64()),
        ("answer", pa.string()),
        ("people_needed", pa.float64()),
        ("answer_expected_at", pa.date32()),
        ("variance_left", pa.float64()),
        ("incremental_total", pa.float64()),
        ("incremental_low", pa.float64()),
        ("incremental_high", pa.float64()),
        ("cost_total", pa.float64()),
        ("incremental_per_cost", pa.float64()),
        ("sample_ratio_p", pa.float64()),
        ("control_contacted", pa.float64()),
        ("note", pa.string()),
    ]
)
_ACCURACY = pa.schema(
    [
        ("snapshot_at", pa.date32()),
        ("run_id", pa.string()),
        ("scorer_version", pa.string()),
        ("prediction", pa.string()),
        ("by", pa.string()),
        ("group_name", pa.string()),
        ("horizon_days", pa.int64()),
        ("customers", pa.int64()),
        ("predicted", pa.float64()),
        ("actual", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
    ]
)


@dataclass(frozen=True)
class ResultTable:
    """A table of results.

    Attributes
    ----------
    name
        Name of the file and of the table in the store.
    schema
        Columns and types.
    period
        Column of the rows that a later result replaces: only rows with the values it has there.
        None: all rows.
    """

    name: str
    schema: pa.Schema
    period: str | None = None


CAMPAIGN_EFFECTS = ResultTable("campaign_effects", _EFFECTS)
CAMPAIGN_EFFECTS_HISTORY = ResultTable(
    "campaign_effects_history",
    _EFFECTS.append(pa.field("measured_at", pa.date32())),
    period="measured_at",
)
PREDICTION_ACCURACY = ResultTable("prediction_accuracy", _ACCURACY, period="snapshot_at")
RESULT_TABLES: Mapping[str, ResultTable] = MappingProxyType(
    {
        table.name: table
        for table in (CAMPAIGN_EFFECTS, CAMPAIGN_EFFECTS_HISTORY, PREDICTION_ACCURACY)
    }
)


def result_file(output: Path, table: ResultTable) -> Path:
    """Return the file of a table of results."""
    return output / MEASUREMENT_FOLDER / f"{table.name}.parquet"


def write_results(output: Path, table: ResultTable, rows: pd.DataFrame) -> None:
    """Replace the file of a table of results atomically; the store follows at its publication.

    Parameters
    ----------
    output
        The output folder.
    table
        The table.
    rows
        All its rows, with at least the columns of its schema.
    """
    dates = {
        field.name: pd.to_datetime(rows[field.name])
        for field in table.schema
        if pa.types.is_date(field.type)
    }
    typed_rows = pa.Table.from_pandas(
        rows.assign(**dates)[table.schema.names], schema=table.schema, preserve_index=False
    )
    write_parquet(result_file(output, table), typed_rows)


def stored_results(output: Path, table: ResultTable) -> pa.Table:
    """Return a table of results as it was last written; without rows before the first result.

    Columns that an earlier version did not write are null.
    """
    file = result_file(output, table)
    if not file.is_file():
        return table.schema.empty_table()
    written = pq.read_table(file)
    columns = [
        written[field.name]
        if field.name in written.column_names
        else pa.nulls(written.num_rows, field.type)
        for field in table.schema
    ]
    return pa.table(columns, schema=table.schema)


def read_results(output: Path, table: ResultTable) -> pd.DataFrame:
    """Return `stored_results` as pandas: dates as midnights."""
    frame: pd.DataFrame = stored_results(output, table).to_pandas(date_as_object=False)
    return frame
