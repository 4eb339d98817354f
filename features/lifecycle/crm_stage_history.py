"""The CRM's stage records, and which of them is in force at a date."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Array
from features.config.config import Config
from features.config.crm_stages import StageHistory
from features.errors import UserError
from features.lifecycle.taxonomy import Taxonomy
from features.sources.locations import describe_location
from features.storage.check_sums import refuse_changed, write_sums

BLOCK = "stage_history"
UNSTAGED = -1


def declared(config: Config) -> StageHistory:
    """The config's block.

    Raises
    ------
    UserError
        Where there is none.
    """
    if config.stage_history is None:
        raise UserError(
            BLOCK,
            found="no such key",
            expected="the CRM's stage records: {table: FILE, columns: {customer_id: ..., "
            "occurred_at: ..., stage: ...}}",
            hint="add the key to the config (see docs/config.md)",
        )
    return config.stage_history


@dataclass(frozen=True)
class StageRecords:
    """Stage records of the customers of a history, in the order in which they took effect.

    Of two records of one instant, the one that became known later counts; known on one day, the
    one whose stage the taxonomy names later.

    Attributes
    ----------
    customers
        Number of customers of the history.
    position, day, known_day
        Of each record: the customer's position, and local day numbers.
    code
        Its stage; `UNSTAGED` for names that stand for none.
    name
        Its stage as recorded.
    strangers
        Customers in the table who have no events.
    """

    customers: int
    position: Array
    day: Array
    known_day: Array
    code: Array
    name: Array
    strangers: int

    def in_force(self, at: int, *, known_before: int) -> Array:
        """Index of the record in force of every customer at a date; -1 where there is none.

        Parameters
        ----------
        at
            Day number; only records strictly before it count.
        known_before
            Day number; only records known before it count.
        """
        counted_records = np.flatnonzero((self.day < at) & (self.known_day < known_before))
        record_index = np.full(self.customers, -1)
        record_index[self.position[counted_records]] = counted_records  # the last one written stays
        return record_index

    def stages(self, at: int, *, known_before: int) -> Array:
        """Recorded stage (code) of every customer at a date; `UNSTAGED` where there is none."""
        record_index = self.in_force(at, known_before=known_before)
        if not len(self.code):
            return np.full(self.customers, UNSTAGED)
        return np.where(record_index >= 0, self.code[record_index], UNSTAGED)


def stage_records(
    table: pa.Table, block: StageHistory, taxonomy: Taxonomy, customers: Array
) -> StageRecords:
    """Records as codes of a taxonomy's stages, for the customers (rising ids) of a history.

    Raises
    ------
    UserError
        For recorded names that are no stage and neither mapped nor ignored, and for names mapped
        to what is no stage.
    """
    rows = table.drop_columns(["at"]).to_pandas()
    code = _codes(rows["stage"], block, taxonomy)
    ids = rows["customer_id"].to_numpy(dtype=str)
    position = np.minimum(np.searchsorted(customers, ids), max(len(customers) - 1, 0))
    has_events = customers[position] == ids if len(customers) else np.zeros(len(ids), dtype=bool)
    instant = table["at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    order = np.lexsort([code, rows["known_day"], instant, position])
    order = order[has_events[order]]
    return StageRecords(
        customers=len(customers),
        position=position[order],
        day=rows["day"].to_numpy()[order],
        known_day=rows["known_day"].to_numpy()[order],
        code=code[order],
        name=rows["stage"].to_numpy(dtype=object)[order],
        strangers=int(rows["customer_id"][~has_events].nunique()),
    )


def _codes(recorded: pd.Series, block: StageHistory, taxonomy: Taxonomy) -> Array:
    names = taxonomy.names
    unknown_targets = sorted(set(block.stages.values()) - set(names))
    if unknown_targets:
        raise UserError(
            f"{BLOCK}.stages",
            found=f"names mapped to {unknown_targets[0]!r}",
            expected=f"stages of the taxonomy {taxonomy.name}: {', '.join(names)}",
        )
    code_by_name: dict[Any, int] = {name: number for number, name in enumerate(names)}
    code_by_name |= {name: names.index(stage) for name, stage in block.stages.items()}
    code_by_name |= dict.fromkeys(block.ignored, UNSTAGED)
    unknown_names = sorted(set(recorded.unique()) - set(code_by_name))
    if unknown_names:
        raise UserError(
            f"{BLOCK}: {describe_location(block.table)}",
            found="recorded stages that the taxonomy does not have: "
            f"{', '.join(map(repr, unknown_names[:10]))}",
            expected=f"stages of the taxonomy {taxonomy.name}: {', '.join(names)}",
            hint=f"map them under `{BLOCK}: {{stages: {{NAME: STAGE}}}}`, or list them under "
            f"`{BLOCK}: {{ignored: [NAME]}}`",
        )
    return np.asarray(recorded.map(code_by_name), dtype=np.int64)


def write_records(table: pa.Table, file: Path) -> None:
    """Keep records beside the tallies."""
    pq.write_table(table, file)
    write_sums(file)


def stored_records(file: Path) -> pa.Table | None:
    """What `write_records` kept; None where nothing was."""
    if not file.is_file():
        return None
    refuse_changed(file)
    return pq.read_table(file)
