"""Groups of a test population that figures are also told for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.tasks import Slice
from features.errors import UserError
from models.tasks.all_tasks import TASKS

_NEW_DAYS = 30  # customers first seen so few days before the snapshot are new
_MOST_VALUES = 20  # slices that one declaration by value may make
# Chosen by what came later: a total within them is no forecast that could be right or wrong.
BY_OUTCOME = ("movers",)


def subset_masks(task: str, rows: pd.DataFrame, slices: Mapping[str, Slice]) -> dict[str, Array]:
    """Masks of the groups by name, without empty groups and groups of all customers.

    Parameters
    ----------
    task
        The task: movers are those who changed stage (transition), or whose true stage is not the
        rule's (stage).
    rows
        Labelled rows of the test population.
    slices
        Declared ones (`backtest.slices`).

    Raises
    ------
    UserError
        Where a slice names a column that the features do not have.
    """
    found = {}
    if "stage__days_to_lapse" in rows.columns:
        found["rule_active"] = (rows["stage__days_to_lapse"] != 0).to_numpy()
    if (movers := TASKS[task].movers(rows)) is not None:
        found["movers"] = movers.to_numpy()
    if "tenure__days" in rows.columns:
        found["new_customers"] = (rows["tenure__days"] <= _NEW_DAYS).to_numpy()
    for name, declared in slices.items():
        found |= _declared(name, declared, rows)
    some = {name: mask for name, mask in found.items() if mask.any() and not mask.all()}
    return {"all": np.ones(len(rows), dtype=bool), **some}


def _declared(name: str, declared: Slice, rows: pd.DataFrame) -> dict[str, Array]:
    if declared.column not in rows.columns:
        similar_names = difflib.get_close_matches(
            declared.column, [str(c) for c in rows.columns], n=3
        )
        raise UserError(
            f"backtest.slices.{name}.column",
            found=declared.column,
            expected="a feature column"
            f"{(', such as ' + ', '.join(similar_names)) if similar_names else ''}, or stage",
            hint="`stagecast catalog` lists the columns",
        )
    column = rows[declared.column]
    if declared.is_ is not None:
        return {name: (column == declared.is_).to_numpy(dtype=bool, na_value=False)}
    if declared.at_least is not None or declared.below is not None:
        low = -np.inf if declared.at_least is None else declared.at_least
        high = np.inf if declared.below is None else declared.below
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return {name: (values >= low) & (values < high)}
    values = column.dropna().unique()
    if len(values) > _MOST_VALUES:
        raise UserError(
            f"backtest.slices.{name}",
            found=f"{len(values)} values of {declared.column}",
            expected=f"at most {_MOST_VALUES}, each a slice; or bounds: at_least, below",
        )
    return {f"{name}={value}": (column == value).to_numpy() for value in sorted(values)}
