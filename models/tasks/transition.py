"""Next transition: destination and time of the first change of rule stage within the horizon.

Two LightGBM multiclass models: one of the destination, with "no change" as a class; one of the
period, fitted on movers, with the destination as a feature. The features include the timers of the
rules (destination and period if the customer stays silent), which are exact for many movers. The
timer table is served instead if there are too few rows, or if it is better on the validation
snapshot. Fitting only; prediction is `models.scorer.transition.predict_transition`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.baselines.transition_baselines import fit_timer_table, transition_cells
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

_HALF = 0.5  # share of the trees if their mean with the table is better at validation
_MOSTLY = 0.75  # share if the mean is nearly as good: mixtures drift less in a later season
_DESTINATION_NOISE = 1.02  # a log loss below this multiple is nearly as good
_TIMING_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_USUAL_WEIGHT = 0.75
_TIMING_NOISE = 1.005  # scores within this multiple do not decide between weights


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
        The latest matured snapshot, for early stopping and the choice against the table.
    stages
        Stage names by code.
    periods, period_days
        The grid of the label: number of periods, and days per period.
    seed, threads
        Seed of LightGBM and its threads.
    settings
        LightGBM settings of the destination model that replace the recipe's own (see
        `models.tasks.tuning`).
    fits
        Number of final fits with different seeds, averaged, if rows are few.

    Returns
    -------
    Part
        Named ``transition``; ``parameters["report"]`` holds the decisions and their reasons.

    Raises
    ------
    ValueError
        If there are no rows, none at `validation_at`, or a label lies outside stages and periods.
    """
    frame = thin_customers(frame)
    rows = split_rows(frame, validation_at)
    cell_codes = transition_cells(frame, stages=len(stages), periods=periods)
    has_moved = cell_codes < len(stages) * periods
    destinations = np.where(has_moved, cell_codes // periods, len(stages))
    derived, columns = derived_inputs(frame, contexts)
    classes = frequent_classes(destinations[rows.fit], len(stages) + 1)
    destination_trees = timing_trees = None
    timing_codes: list[int] = []
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        movers = _movers(rows, has_moved)
        outcomes = [(destinations, rows.fit), (cell_codes % periods, movers.fit)]
        columns = select_class_columns(derived, columns, outcomes, seed=seed, threads=threads)
        features = matrix(derived, columns)
        tree_settings: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
        # The timers predict most of the timing; destinations would overfit single customers.
        hashes = customer_hash(frame["customer_id"])
        destination_trees = fit_trees(
            features, destinations, rows, **tree_settings, trees=settings, seeds=fits, hashes=hashes
        )
        features = np.column_stack([features, destinations])
        timing_codes = frequent_classes((cell_codes % periods)[movers.fit], periods)
        tree_settings["classes"] = timing_codes
        timing_trees = fit_trees(
            features, cell_codes % periods, movers, **tree_settings, seeds=fits
        )
    parameters: dict[str, Any] = {
        "stages": list(stages),
        "periods": int(periods),
        "period_days": int(period_days),
        "kind": "trees" if destination_trees else "table",
        "destination_weight": 1.0,
        "timing_weight": 1.0 if timing_trees else 0.0,
        "columns": columns,
        "classes": classes,
        "timing_periods": [code + 1 for code in timing_codes],
        "table": fit_timer_table(frame, stages=len(stages), periods=periods),
    }
    parameters |= _choose_served(
        parameters, destination_trees, timing_trees, derived, rows, contexts
    )
    boosters: dict[str, lgb.Booster] = {}
    if destination_trees and parameters["kind"] == "trees":
        boosters |= destination_trees.named("destination")
    if timing_trees and parameters["timing_weight"]:
        boosters |= timing_trees.named("timing")
    return Part("transition", parameters, boosters)


def _movers(rows: RowSplit, has_moved: Array) -> RowSplit:
    """Rows of customers who moved, for the timing model."""
    return RowSplit(
        rows.fit[has_moved[rows.fit]], rows.validation[has_moved[rows.validation]], "movers"
    )


def _choose_served(
    parameters: Mapping[str, Any],
    destination_trees: MulticlassTrees | None,
    timing_trees: MulticlassTrees | None,
    derived: pd.DataFrame,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> dict[str, Any]:
    """Choose trees or timer table, and their weights, on the validation rows.

    Boosters and table are those fitted without these rows. Log loss decides on the destinations,
    the integrated Brier score on the weight of the timing trees beside the table's timing.
    """
    stages, periods = len(parameters["stages"]), parameters["periods"]
    table = fit_timer_table(derived.iloc[rows.fit], stages=stages, periods=periods)
    boosters = {"destination": destination_trees.before} if destination_trees else {}
    boosters |= {"timing": timing_trees.before} if timing_trees else {}
    validation_frame = derived.iloc[rows.validation]

    def predicted(
        kind: str, timing_share: float, destination_share: float = 1.0
    ) -> dict[str, Array]:
        weights = {"timing_weight": timing_share, "destination_weight": destination_share}
        context = contexts[pd.Timestamp(validation_frame["snapshot_at"].iloc[0])]
        part = Part("transition", {**parameters, **weights, "kind": kind, "table": table}, boosters)
        return predict_transition(part, validation_frame, context)

    kind, timing_weight, tree_share, figures = "table", 0.0, 1.0, {}
    if len(validation_frame):
        served_output = predicted("table", 0.0)
        figures["timer_table"] = _figures(served_output, validation_frame)
        if destination_trees:
            tree_output = predicted("trees", 0.0)
            figures["trees"] = _figures(tree_output, validation_frame)
            mixed_output = predicted("trees", 0.0, _HALF)
            figures["half"] = _figures(mixed_output, validation_frame)
            tree_loss, mixed_loss = figures["trees"]["log_loss"], figures["half"]["log_loss"]
            if min(tree_loss, mixed_loss) < figures["timer_table"]["log_loss"]:
                kind, served_output = "trees", tree_output
                if mixed_loss < tree_loss:
                    tree_share, served_output = _HALF, mixed_output
                elif mixed_loss < _DESTINATION_NOISE * tree_loss:
                    tree_share, served_output = _MOSTLY, predicted("trees", 0.0, _MOSTLY)
        if timing_trees:
            # Incidences are linear in the timing, so mixtures need no further prediction.
            full_cif, table_cif = predicted(kind, 1.0, tree_share)["cif"], served_output["cif"]
            measured = {}
            for weight in _TIMING_WEIGHTS:
                mixture = {**served_output, "cif": weight * full_cif + (1.0 - weight) * table_cif}
                measured[weight] = _figures(mixture, validation_frame)
            scores = {weight: score["integrated_brier"] for weight, score in measured.items()}
            bound = _TIMING_NOISE * min(scores.values())
            good_weights = [weight for weight in scores if scores[weight] <= bound]
            timing_weight = min(good_weights, key=lambda weight: abs(weight - _USUAL_WEIGHT))
            figures["served"] = measured[timing_weight]
    report = {
        "served": kind,
        "destination_weight": tree_share,
        "timing_weight": timing_weight,
        "validation": rows.validation_kind,
        "validation_at": str(pd.Timestamp(derived["snapshot_at"].max()).date()),
        "validation_figures": figures,
        "rounds": {
            "destination": destination_trees.rounds if destination_trees else 0,
            "timing": timing_trees.rounds if timing_trees else 0,
        },
        "fit_rows": len(rows.fit),
    }
    decision = {"kind": kind, "destination_weight": tree_share, "timing_weight": timing_weight}
    return {**decision, "report": report}


def _figures(output: Mapping[str, Array], validation_frame: pd.DataFrame) -> dict[str, float]:
    """Log loss of the destination and integrated Brier score of the incidences."""
    probability = output["probabilities"]
    periods = validation_frame["period"].to_numpy().astype(int)
    destinations = validation_frame["next_code"].to_numpy().astype(int)
    truth = np.where(periods > 0, destinations, probability.shape[1] - 1)
    incidences = np.swapaxes(output["cif"], 1, 2)
    brier_score = metrics.integrated_brier(incidences, destinations, periods)
    return {
        "log_loss": metrics.multiclass_log_loss(truth, probability),
        "integrated_brier": brier_score,
    }
