"""Whose recorded stage disagrees with what everyone else's records say of such customers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.contracts import CUSTOMER
from features.lifecycle.crm_stage_history import UNSTAGED
from features.table.customer_profile import snapshot_stamp
from features.table.feature_store import Archive
from models.evaluation.evaluate import predict
from models.fitting.training_set import training_set
from models.tasks.training import fit


@dataclass(frozen=True)
class Disagreement:
    """The stage history against the cross-fitted prediction at a date.

    Attributes
    ----------
    at
        ISO date.
    staged
        Customers with a record in force.
    strangers
        Customers in the stage history who have no events.
    disagree
        customer_id, recorded_stage (of the taxonomy), recorded_as (the name in the CRM),
        recorded_at (local day), predicted_stage, p_recorded, p_predicted; one row a customer
        whose prediction differs, the least likely record first.
    unstaged
        customer_id, predicted_stage, p_predicted; one row a customer without a record, or with one
        that stands for no stage, the surest first.
    """

    at: str
    staged: int
    strangers: int
    disagree: pd.DataFrame
    unstaged: pd.DataFrame


def disagreement(archive: Archive, at: int, *, threads: int) -> Disagreement:
    """Fit on the records as of a date, cross-fitted by customer, and compare with those in force.

    Parameters
    ----------
    archive
        With stage records, and the config's truth `history`.
    at
        Day number; records and events strictly before it, and known before it, count.
    threads
        Processors to use; the result does not depend on it.

    Raises
    ------
    UserError
        Where no customer has a record to learn from.
    """
    builder = archive.builder
    records = builder.records()
    data = training_set(archive, "stage", at)
    part = fit(data, builder.config, builder.taxonomy.names, threads=threads)
    rows = archive.inputs("stage", at)
    p = predict(part, rows, rows)["probabilities"]
    customers = rows[CUSTOMER].to_numpy(dtype=str)
    index = records.in_force(at, known_before=at)
    index = index[np.searchsorted(builder.history.customers, customers)]
    code = np.where(index >= 0, records.code[index], UNSTAGED) if len(records.code) else index
    frame = _compared(customers, p, code, np.array(builder.taxonomy.names, dtype=object))
    staged = np.flatnonzero(code != UNSTAGED)
    recorded = frame.iloc[staged].assign(
        recorded_as=records.name[index[staged]],
        recorded_at=[snapshot_stamp(day) for day in records.day[index[staged]]],
    )
    unstaged = frame[code == UNSTAGED]
    differs = recorded["recorded_stage"] != recorded["predicted_stage"]
    return Disagreement(
        at=str(day_date(at)),
        staged=len(staged),
        strangers=records.strangers,
        # Of the planted errors this order finds more than the margin between the two stages does
        # (86 % against 73 % at their number, 4,000 simulated customers).
        disagree=_ordered(recorded[differs], recorded["p_recorded"][differs], _DISAGREE),
        unstaged=_ordered(unstaged, -unstaged["p_predicted"], _UNSTAGED),
    )


_UNSTAGED = [CUSTOMER, "predicted_stage", "p_predicted"]
_DISAGREE = [
    CUSTOMER,
    "recorded_stage",
    "recorded_as",
    "recorded_at",
    "predicted_stage",
    "p_recorded",
    "p_predicted",
]


def _compared(customers: Array, p: Array, code: Array, names: Array) -> pd.DataFrame:
    """Recorded and likeliest stage of every customer, and how likely each is."""
    best, row = p.argmax(axis=1), np.arange(len(p))
    own = np.where(code != UNSTAGED, p[row, code], np.nan)
    recorded = names[code]
    recorded[code == UNSTAGED] = None
    return pd.DataFrame(
        {
            CUSTOMER: customers.astype(object),
            "recorded_stage": recorded,
            "predicted_stage": names[best],
            "p_recorded": own,
            "p_predicted": p[row, best],
        }
    )


def _ordered(frame: pd.DataFrame, key: pd.Series, columns: list[str]) -> pd.DataFrame:
    """Rows by a rising key; of equal ones the smaller id first."""
    order = np.lexsort([frame[CUSTOMER].to_numpy(dtype=str), key.to_numpy()])
    return frame.iloc[order][columns].reset_index(drop=True)
