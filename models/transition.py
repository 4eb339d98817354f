"""Next transition: the first change of rule stage within the horizon, where to and when.

Two steps. A LightGBM multiclass on the destination, "no change" competing; then one over periods,
on movers, with the destination as a feature. The features hold what the rules' own clocks say
(silent destination and period), which is exact for many movers. The timer table stands in where
there is too little to learn from, and where it wins on the validation snapshot. Fitting only;
prediction is `models.inference.predict_transition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from models import inference, metrics
from models.inference import Part
from models.multiclass import Rows, Trees, derived_inputs, fit_trees, frequent, split_rows
from models.multiclass import log_losses as losses_of
from models.transition_baselines import cells, fit_timer_table

Array = np.ndarray[Any, Any]


def fit_transition(
    frame: pd.DataFrame,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    *,
    validation_at: pd.Timestamp,
    stages: list[str],
    periods: int,
    period_days: int,
    seed: int,
    threads: int = 2,
) -> Part:
    """Fit the next-transition part on matured snapshots.

    Parameters
    ----------
    frame
        One row per (customer_id, snapshot_at) of all matured training snapshots: the feature frame
        with ``next_code`` (stage moved to) and ``period`` (1..periods; 0 for no change).
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        The latest matured snapshot: early stopping and guard.
    stages
        Stage names by code.
    periods, period_days
        The grid of the label: so many periods of so many days.
    seed, threads
        Seed of LightGBM and its threads.

    Returns
    -------
    Part
        Named ``transition``; ``parameters["report"]`` holds what was decided and why.

    Raises
    ------
    ValueError
        There are no rows, none at `validation_at`, or a label lies outside stages and periods.
    """
    rows = split_rows(frame, validation_at)
    cell = cells(frame, stages=len(stages), periods=periods)
    moved = cell < len(stages) * periods
    destination = np.where(moved, cell // periods, len(stages))
    inputs, columns = derived_inputs(frame, contexts)
    classes = frequent(destination[rows.fit], len(stages) + 1)
    where = when = None
    timing_codes: list[int] = []
    if columns:
        x = inference.matrix(inputs, columns)
        where = fit_trees(x, destination, rows, classes=classes, seed=seed, threads=threads)
        x, movers = np.column_stack([x, destination]), _movers(rows, moved)
        timing_codes = frequent((cell % periods)[movers.fit], periods)
        when = fit_trees(
            x, cell % periods, movers, classes=timing_codes, seed=seed, threads=threads
        )
    parameters: dict[str, Any] = {
        "stages": list(stages),
        "periods": int(periods),
        "period_days": int(period_days),
        "kind": "trees" if where else "table",
        "timing": "trees" if when else "table",
        "columns": columns,
        "classes": classes,
        "timing_periods": [code + 1 for code in timing_codes],
        "table": fit_timer_table(frame, stages=len(stages), periods=periods),
    }
    parameters |= _guarded(parameters, where, when, inputs, rows, contexts)
    report = parameters["report"]
    report["rounds"] = {"destination": where.rounds if where else 0}
    report["rounds"]["timing"] = when.rounds if when else 0
    boosters = {}
    if where and parameters["kind"] == "trees":
        boosters["destination"] = where.final
    if when and parameters["timing"] == "trees":
        boosters["timing"] = when.final
    return Part("transition", parameters, boosters)


def _movers(rows: Rows, moved: Array) -> Rows:
    """Only those who moved: the timing step learns from nobody else."""
    return Rows(rows.fit[moved[rows.fit]], rows.validation[moved[rows.validation]], "movers")


def _guarded(
    parameters: Mapping[str, Any],
    where: Trees | None,
    when: Trees | None,
    inputs: pd.DataFrame,
    rows: Rows,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> dict[str, Any]:
    """Which step is served by trees: each must beat the timer table on the validation rows.

    Judged are the boosters and the table fitted without those rows.
    """
    stages, periods = len(parameters["stages"]), parameters["periods"]
    table = fit_timer_table(inputs.iloc[rows.fit], stages=stages, periods=periods)
    boosters = {"destination": where.before} if where else {}
    boosters |= {"timing": when.before} if when else {}
    figures: dict[str, Any] = {}

    def measured(kind: str, timing: str) -> tuple[float, float]:
        own = {**parameters, "kind": kind, "timing": timing, "table": table}
        part = Part("transition", own, boosters)
        loss, score = _validation_figures(part, inputs.iloc[rows.validation], contexts)
        figures[f"{kind}/{timing}"] = {"log_loss": loss, "integrated_brier": score}
        return loss, score

    kind = timing = "table"
    if len(rows.validation):
        loss, score = measured("table", "table")
        if where and measured("trees", "table")[0] < loss:
            kind = "trees"
            score = figures["trees/table"]["integrated_brier"]
        if when and measured(kind, "trees")[1] < score:
            timing = "trees"
    report = {
        "served": {"destination": kind, "timing": timing},
        "validation": rows.validation_kind,
        "validation_at": str(pd.Timestamp(inputs["snapshot_at"].max()).date()),
        "validation_figures": figures,
        "fit_rows": len(rows.fit),
    }
    return {"kind": kind, "timing": timing, "report": report}


def _validation_figures(
    part: Part, checked: pd.DataFrame, contexts: Mapping[pd.Timestamp, Mapping[str, Any]]
) -> tuple[float, float]:
    """Log loss of the destination and integrated Brier score of the incidences."""
    context = contexts[pd.Timestamp(checked["snapshot_at"].iloc[0])]
    out = inference.predict_transition(part, checked, context)
    period = checked["period"].to_numpy().astype(int)
    destination = checked["next_code"].to_numpy().astype(int)
    truth = np.where(period > 0, destination, out["probabilities"].shape[1] - 1)
    cif = np.swapaxes(out["cif"], 1, 2)
    score = metrics.integrated_brier(cif, destination, period)
    return float(losses_of(out["probabilities"], truth).mean()), score
