"""Predict the effect of a campaign on each customer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .fast_trees import raw_scores
from .feature_rows import Rows, matrix, number_column, take_rows
from .linear_model import sigmoid
from .part import Array, Part


def effect_basis(terms: Mapping[str, Any], features: Array) -> Array:
    """Ranks of every column, indicators of single values, then the products of pairs of ranks.

    A rank is 0 in the middle, and where the value is missing.
    """
    ranks = np.zeros(features.shape)
    for column, knots in enumerate(terms["knots"]):
        if knots:
            is_known = ~np.isnan(features[:, column])
            # Equal values get their middle rank: a binary column keeps two distinct ranks.
            rank_grid = np.linspace(-1.0, 1.0, len(knots))
            left_positions = np.searchsorted(knots, features[is_known, column], side="left")
            right_positions = np.searchsorted(knots, features[is_known, column], side="right") - 1
            lower_positions, upper_positions = (
                np.clip(left_positions, 0, len(knots) - 1),
                np.clip(right_positions, 0, len(knots) - 1),
            )
            ranks[is_known, column] = (rank_grid[lower_positions] + rank_grid[upper_positions]) / 2
    indicators = [
        (features[:, column] == value).astype(np.float64) for column, value in terms["levels"]
    ]
    products = [ranks[:, first] * ranks[:, second] for first, second in terms["pairs"]]
    return np.column_stack([ranks, *indicators, *products])


def effect_terms(terms: Mapping[str, Any], features: Array) -> Array:
    """Effect without the trees: the linear terms, mixed with the difference of two logits."""
    standardised = (effect_basis(terms, features) - np.asarray(terms["means"])) / np.asarray(
        terms["scales"]
    )
    effects = _weighted_sum(standardised, terms["coefficients"]) + terms["intercept"]
    share = terms["logit_share"]
    if share:
        effects = share * logit_effects(terms["logits"], standardised) + (1 - share) * effects
    return np.asarray(effects)


def logit_effects(logits: Mapping[str, Any], standardised: Array) -> Array:
    """Difference of the response chances by two logistic regressions: message less nothing.

    They look at the first terms only, as many as they have coefficients.
    """
    chances = {}
    for name in ("nothing", "message"):
        intercept, *coefficients = logits[name]
        first_terms = standardised[:, : len(coefficients)]
        chances[name] = sigmoid(_weighted_sum(first_terms, coefficients) + intercept)
    return np.asarray(chances["message"] - chances["nothing"])


def _weighted_sum(terms: Array, coefficients: Array | list[float]) -> Array:
    """Sum of the weighted terms of every row, in an order that does not depend on other rows."""
    weighted = np.ascontiguousarray(terms * np.asarray(coefficients))
    return np.asarray(weighted.sum(axis=1))


def uplift_effect(part: Part, frame: Rows) -> Array:
    """Outcome that the message would add, for every row."""
    parameters = part.parameters
    features = matrix(frame, parameters["features"])
    effects = effect_terms(parameters["terms"], features)
    tree_effects = raw_scores([part.boosters[name] for name in sorted(part.boosters)], features)
    return np.asarray(effects + np.mean(tree_effects, axis=0)) if tree_effects else effects


def uplift_rows(part: Part, frame: Rows) -> list[str | None]:
    """JSON of the added response probability by campaign; None if no model covers the customer.

    A model covers only stages that it was fitted on. If its ranking was not shown to be better than
    chance, all its customers get the mean effect. That of one of several offers comes with its
    standard error, under its name with " error" added.
    """
    rows: list[dict[str, float]] = [{} for _ in range(len(frame))]
    stage_values = number_column(frame, "stage__code")
    for name, model_head in sorted(part.parameters["models"].items()):
        positions = np.flatnonzero(np.isin(stage_values, model_head["stages"]))
        effects = np.full(len(positions), float(model_head["mean_effect"]))
        # Only models of several offers know it, and those fitted before it was computed do not.
        error = round(model_head["effect_error"], 6) if "effect_error" in model_head else None
        if model_head["ranks"] and len(positions):
            prefix = f"{name}."
            boosters = {
                key.removeprefix(prefix): booster
                for key, booster in part.boosters.items()
                if key.startswith(prefix)
            }
            effects = uplift_effect(
                Part("uplift", model_head, boosters), take_rows(frame, positions)
            )
        for row, value in zip(
            positions, np.clip(effects, -1.0, 1.0).round(6).tolist(), strict=True
        ):
            rows[row] |= dict.fromkeys(model_head["campaigns"], value)
            if error is not None:
                rows[row] |= {f"{campaign} error": error for campaign in model_head["campaigns"]}
    return [json.dumps(row, sort_keys=True) if row else None for row in rows]
