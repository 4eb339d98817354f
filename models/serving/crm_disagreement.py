"""Customers with a CRM stage that differs from the prediction of other customers' records."""

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
from models.evaluation.evaluate import predict_part
from models.fitting.training_set import training_set
from models.tasks.all_tasks import TASKS


@dataclass(frozen=True)
class CrmDisagreement:
    """CRM stages compared with cross-fitted predictions at a date.

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
        recorded_at (local day), predicted_stage, p_recorded, p_predicted; one row per customer
        with a differing prediction, the least likely record first.
    unstaged
        customer_id, predicted_stage, p_predicted; one row per customer without a record, or with
        one that maps to no stage, the most certain prediction first.
    """

    at: str
    staged: int
    strangers: int
    disagree: pd.DataFrame
    unstaged: pd.DataFrame


def compare_with_crm(archive: Archive, at: int, *, threads: int) -> CrmDisagreement:
    """Fit on the records as of a date, cross-fitted by customer, and compare with current records.

    Parameters
    ----------
    archive
        Data with stage records, and the config's truth `history`.
    at
        Day number; records and events strictly before it, and known before it, count.
    threads
        Processors to use; the result does not depend on it.

    Raises
    ------
    UserError
        If no customer has a record to learn from.
    """
    builder = archive.builder
    records = builder.records()
    training = training_set(archive, "stage", at)
    part = TASKS["stage"].fit(training, builder.config, builder.taxonomy.names, threads=threads)
    customers_frame = archive.inputs("stage", at)
    probability = predict_part(part, customers_frame, customers_frame)["probabilities"]
    customers = customers_frame[CUSTOMER].to_numpy(dtype=str)
    record_positions = records.in_force(at, known_before=at)
    record_positions = record_positions[np.searchsorted(builder.history.customers, customers)]
    recorded_codes = (
        np.where(record_positions >= 0, records.code[record_positions], UNSTAGED)
        if len(records.code)
        else record_positions
    )
    compared = _recorded_and_predicted(
        customers, probability, recorded_codes, np.array(builder.taxonomy.names, dtype=object)
    )
    staged_rows = np.flatnonzero(recorded_codes != UNSTAGED)
    recorded = compared.iloc[staged_rows].assign(
        recorded_as=records.name[record_positions[staged_rows]],
        recorded_at=[snapshot_stamp(day) for day in records.day[record_positions[staged_rows]]],
    )
    unstaged = compared[recorded_codes == UNSTAGED]
    differs = recorded["recorded_stage"] != recorded["predicted_stage"]
    return CrmDisagreement(
        at=str(day_date(at)),
        staged=len(staged_rows),
        strangers=records.strangers,
        # Of errors planted in 4,000 simulated customers this order finds 86 % among as many first
        # rows, the margin between the two stages 73 %.
        disagree=_sort_customers(recorded[differs], recorded["p_recorded"][differs], _DISAGREE),
        unstaged=_sort_customers(unstaged, -unstaged["p_predicted"], _UNSTAGED),
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


def _recorded_and_predicted(
    customers: Array, probability: Array, recorded_codes: Array, names: Array
) -> pd.DataFrame:
    """Recorded and likeliest stage of every customer, with their probabilities."""
    likeliest, row_numbers = probability.argmax(axis=1), np.arange(len(probability))
    recorded_probability = np.where(
        recorded_codes != UNSTAGED, probability[row_numbers, recorded_codes], np.nan
    )
    recorded_stages = names[recorded_codes]
    recorded_stages[recorded_codes == UNSTAGED] = None
    return pd.DataFrame(
        {
            CUSTOMER: customers.astype(object),
            "recorded_stage": recorded_stages,
            "predicted_stage": names[likeliest],
            "p_recorded": recorded_probability,
            "p_predicted": probability[row_numbers, likeliest],
        }
    )


def _sort_customers(frame: pd.DataFrame, key: pd.Series, columns: list[str]) -> pd.DataFrame:
    """Sort by a rising key, then by id."""
    order = np.lexsort([frame[CUSTOMER].to_numpy(dtype=str), key.to_numpy()])
    return frame.iloc[order][columns].reset_index(drop=True)
