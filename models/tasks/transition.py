"""Next transition: the first change of rule stage within the horizon, where to and when.

Two steps. A LightGBM multiclass on the destination, "no change" competing; then one over periods,
on movers, with the destination as a feature. The features hold what the rules' own clocks say
(silent destination and period), which is exact for many movers. The timer table stands in where
there is too little to learn from, and where it wins on the validation snapshot. Fitting only;
prediction is `models.scorer.transition.predict_transition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.baselines.transition_baselines import cells, fit_timer_table
from models.fitting.multiclass_trees import (
    MIN_CUSTOMERS,
    MulticlassTrees,
    RowSplit,
    customer_hash,
    derived_inputs,
    fit_trees,
    frequent_classes,
    select_class_columns,
    split_rows,
    thin_customers,
)
from models.metrics import metrics
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.transition import predict_transition

_HALF = 0.5  # share of the trees where they and the table are better together at validation
_MOSTLY = 0.75  # where they are nearly as good together: the mixture drifts less in a later season
_DESTINATION_NOISE = 1.02  # scores this close are nearly as good
_TIMING_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_USUAL_WEIGHT = 0.75
_TIMING_NOISE = 1.005  # scores this close say nothing about which weight is better


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
    settings: Mapping[str, Any] | None = None,
    fits: int = 3,
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
    settings
        LightGBM settings of the destination step in place of the recipe's own (see
        `models.tasks.tuning`).
    fits
        Final fits that differ in their seed and whose mean is served, where rows are few.

    Returns
    -------
    Part
        Named ``transition``; ``parameters["report"]`` holds what was decided and why.

    Raises
    ------
    ValueError
        There are no rows, none at `validation_at`, or a label lies outside stages and periods.
    """
    frame = thin_customers(frame)
    rows = split_rows(frame, validation_at)
    cell = cells(frame, stages=len(stages), periods=periods)
    moved = cell < len(stages) * periods
    destination = np.where(moved, cell // periods, len(stages))
    inputs, columns = derived_inputs(frame, contexts)
    classes = frequent_classes(destination[rows.fit], len(stages) + 1)
    where = when = None
    timing_codes: list[int] = []
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        movers = _movers(rows, moved)
        told = [(destination, rows.fit), (cell % periods, movers.fit)]
        columns = select_class_columns(inputs, columns, told, seed=seed, threads=threads)
        x = matrix(inputs, columns)
        found: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
        # Unlike the timing, which rule clocks mostly tell, this runs on into single customers.
        share = customer_hash(frame["customer_id"])
        where = fit_trees(x, destination, rows, **found, trees=settings, seeds=fits, hashes=share)
        x = np.column_stack([x, destination])
        timing_codes = frequent_classes((cell % periods)[movers.fit], periods)
        found["classes"] = timing_codes
        when = fit_trees(x, cell % periods, movers, **found, seeds=fits)
    parameters: dict[str, Any] = {
        "stages": list(stages),
        "periods": int(periods),
        "period_days": int(period_days),
        "kind": "trees" if where else "table",
        "destination_weight": 1.0,
        "timing_weight": 1.0 if when else 0.0,
        "columns": columns,
        "classes": classes,
        "timing_periods": [code + 1 for code in timing_codes],
        "table": fit_timer_table(frame, stages=len(stages), periods=periods),
    }
    parameters |= _guarded(parameters, where, when, inputs, rows, contexts)
    boosters: dict[str, lgb.Booster] = {}
    if where and parameters["kind"] == "trees":
        boosters |= where.named("destination")
    if when and parameters["timing_weight"]:
        boosters |= when.named("timing")
    return Part("transition", parameters, boosters)


def _movers(rows: RowSplit, moved: Array) -> RowSplit:
    """Only those who moved: the timing step learns from nobody else."""
    return RowSplit(rows.fit[moved[rows.fit]], rows.validation[moved[rows.validation]], "movers")


def _guarded(
    parameters: Mapping[str, Any],
    where: MulticlassTrees | None,
    when: MulticlassTrees | None,
    inputs: pd.DataFrame,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> dict[str, Any]:
    """How far trees are served: as far as they beat the timer table on the validation rows.

    Judged are boosters and table fitted without those rows: destinations by log loss, the weight
    of the timing trees beside the table's timing by integrated Brier score.
    """
    stages, periods = len(parameters["stages"]), parameters["periods"]
    table = fit_timer_table(inputs.iloc[rows.fit], stages=stages, periods=periods)
    boosters = {"destination": where.before} if where else {}
    boosters |= {"timing": when.before} if when else {}
    checked = inputs.iloc[rows.validation]

    def predicted(kind: str, weight: float, share: float = 1.0) -> dict[str, Array]:
        own = {**parameters, "kind": kind, "timing_weight": weight, "table": table}
        own["destination_weight"] = share
        context = contexts[pd.Timestamp(checked["snapshot_at"].iloc[0])]
        part = Part("transition", own, boosters)
        return predict_transition(part, checked, context)

    kind, weight, share, figures = "table", 0.0, 1.0, {}
    if len(checked):
        out = predicted("table", 0.0)
        figures["timer_table"] = _figures(out["probabilities"], out["cif"], checked)
        if where:
            learned = predicted("trees", 0.0)
            figures["trees"] = _figures(learned["probabilities"], learned["cif"], checked)
            half = predicted("trees", 0.0, _HALF)
            figures["half"] = _figures(half["probabilities"], half["cif"], checked)
            trees, mixed = figures["trees"]["log_loss"], figures["half"]["log_loss"]
            if min(trees, mixed) < figures["timer_table"]["log_loss"]:
                kind, out = "trees", learned
                if mixed < trees:
                    share, out = _HALF, half
                elif mixed < _DESTINATION_NOISE * trees:
                    share, out = _MOSTLY, predicted("trees", 0.0, _MOSTLY)
        if when:
            # Incidences are linear in the timing, so mixtures need no further prediction.
            full = predicted(kind, 1.0, share)["cif"]
            mixtures = {w: w * full + (1.0 - w) * out["cif"] for w in _TIMING_WEIGHTS}
            scores = {
                w: _figures(out["probabilities"], cif, checked)["integrated_brier"]
                for w, cif in mixtures.items()
            }
            good = [w for w in scores if scores[w] <= _TIMING_NOISE * min(scores.values())]
            weight = min(good, key=lambda w: abs(w - _USUAL_WEIGHT))
            figures["served"] = _figures(out["probabilities"], mixtures[weight], checked)
    report = {
        "served": kind,
        "destination_weight": share,
        "timing_weight": weight,
        "validation": rows.validation_kind,
        "validation_at": str(pd.Timestamp(inputs["snapshot_at"].max()).date()),
        "validation_figures": figures,
        "rounds": {
            "destination": where.rounds if where else 0,
            "timing": when.rounds if when else 0,
        },
        "fit_rows": len(rows.fit),
    }
    served = {"kind": kind, "destination_weight": share, "timing_weight": weight}
    return {**served, "report": report}


def _figures(p: Array, cif: Array, checked: pd.DataFrame) -> dict[str, float]:
    """Log loss of the destination and integrated Brier score of the incidences."""
    period = checked["period"].to_numpy().astype(int)
    destination = checked["next_code"].to_numpy().astype(int)
    truth = np.where(period > 0, destination, p.shape[1] - 1)
    score = metrics.integrated_brier(np.swapaxes(cif, 1, 2), destination, period)
    return {"log_loss": metrics.multiclass_log_loss(truth, p), "integrated_brier": score}
