"""Which stage changes only came of new rules: the customer did nothing, the definition moved."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import pandas as pd

from features.contracts import CUSTOMER
from features.lifecycle.taxonomy import Taxonomy

CAUSE = "stage_change_cause"


def rules_mark(taxonomy: Taxonomy) -> str:
    """Hash of what decides the stage of a customer: names, order, rules and defaults."""
    stages = [taxonomy.stages[number] for number in taxonomy.order]
    rules = [(stage.name, stage.rank, str(stage.rule)) for stage in stages]
    return hashlib.sha256(json.dumps(rules).encode()).hexdigest()[:16]


def caused_by_definition(
    rows: pd.DataFrame, published: pd.DataFrame, published_at: dt.date
) -> pd.DataFrame:
    """Scored rows whose stage differs from the one published under other rules, told as such.

    Parameters
    ----------
    rows
        Scored rows: customer_id, stage, stage_since, previous_stage, stage_change_cause.
    published
        customer_id and stage as last published, under other rules.
    published_at
        The snapshot of that publication.

    Returns
    -------
    DataFrame
        The same rows. Who by the new rules was in the present stage at `published_at` already,
        and was published in another, has the cause ``definition`` and that stage as
        previous_stage; all others keep theirs.
    """
    published_stage = rows[CUSTOMER].map(published.set_index(CUSTOMER)["stage"])
    was_in_stage = rows["stage_since"] <= pd.Timestamp(published_at)
    moved = (published_stage.notna() & was_in_stage & (published_stage != rows["stage"])).to_numpy(
        dtype=bool
    )
    corrected = rows.copy()
    corrected[CAUSE] = rows[CAUSE].mask(moved, "definition")
    corrected["previous_stage"] = rows["previous_stage"].mask(moved, published_stage)
    return corrected
