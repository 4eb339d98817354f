"""Write the feature frame of a snapshot to its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Array
from features.contracts import CUSTOMER
from features.storage.check_sums import write_sum_before_rename
from features.storage.fault_injection import boundary

_SAMPLE = 1000  # values of a column, evenly spaced, that tell whether they repeat
_DISTINCT_SHARE = 0.3  # of the sample at most, where a dictionary is worth its time


def write_snapshot(columns: Mapping[str, Any], path: Path) -> None:
    """Write the columns of a feature frame with their check sum, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Named after the process: workers may build the same snapshot side by side.
    unfinished = path.with_suffix(f".{os.getpid()}.partial")
    # Types and pandas' notes come from one row; a frame of all rows would cost a copy of them.
    sample = pd.DataFrame({name: values[:1] for name, values in columns.items()})
    schema = pa.Schema.from_pandas(sample, preserve_index=False)
    arrays = [
        pa.array(columns[column.name], type=column.type, from_pandas=True) for column in schema
    ]
    table = pa.Table.from_arrays(arrays, schema=schema)
    # Hashing every number for a dictionary costs more than all else, and saves nothing where
    # numbers do not repeat.
    pq.write_table(
        table, unfinished, compression="lz4", use_dictionary=_repeating_columns(columns, schema)
    )
    boundary("snapshot written")
    # Before the file is there, so that none is ever there without: whoever builds the same
    # snapshot beside us writes the same bytes.
    write_sum_before_rename(unfinished, path)
    os.replace(unfinished, path)


def _repeating_columns(columns: Mapping[str, Any], schema: pa.Schema) -> list[str]:
    """Names of the columns that hold few distinct values, and of all texts but ids."""
    return [
        column.name
        for column in schema
        if column.name != CUSTOMER
        and (not pa.types.is_floating(column.type) or _repeats(columns[column.name]))
    ]


def _repeats(values: Array) -> bool:
    sample = values[:: max(len(values) // _SAMPLE, 1)]
    return len(np.unique(sample)) <= _DISTINCT_SHARE * len(sample)
