"""Predict the effect of a campaign on each customer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .fast_trees import raw_scores
from .linear_model import matrix
from .part import Array, Part


def effect_basis(terms: Mapping[str, Any], x: Array) -> Array:
    """Ranks of every column (0 in the middle, and where missing), then the products of pairs."""
    ranks = np.zeros(x.shape)
    for column, knots in enumerate(terms["knots"]):
        if knots:
            known = ~np.isnan(x[:, column])
            # The middle of equal values: a yes or no keeps its two places.
            grid = np.linspace(-1.0, 1.0, len(knots))
            left = np.searchsorted(knots, x[known, column], side="left")
            right = np.searchsorted(knots, x[known, column], side="right") - 1
            below, above = np.clip(left, 0, len(knots) - 1), np.clip(right, 0, len(knots) - 1)
            ranks[known, column] = (grid[below] + grid[above]) / 2
    pairs = [ranks[:, first] * ranks[:, second] for first, second in terms["pairs"]]
    return np.column_stack([ranks, *pairs])


def effect_terms(terms: Mapping[str, Any], x: Array) -> Array:
    """Effect by the linear terms alone."""
    z = (effect_basis(terms, x) - np.asarray(terms["means"])) / np.asarray(terms["scales"])
    weighted = np.ascontiguousarray(z * np.asarray(terms["coefficients"]))
    return np.asarray(weighted.sum(axis=1) + terms["intercept"])


def uplift_effect(part: Part, frame: pd.DataFrame) -> Array:
    """Added outcome of every row, were they sent the message."""
    head = part.parameters
    x = matrix(frame, head["features"])
    effect = effect_terms(head["terms"], x)
    trees = raw_scores([part.boosters[name] for name in sorted(part.boosters)], x)
    return np.asarray(effect + np.mean(trees, axis=0)) if trees else effect


def uplift_rows(part: Part, frame: pd.DataFrame) -> list[str | None]:
    """JSON of the added chance of a response by campaign; None where no model knows the customer.

    A model says nothing of stages that were not among the people it learned from, and the same of
    everyone where its ranking was not shown to be better than chance.
    """
    rows: list[dict[str, float]] = [{} for _ in range(len(frame))]
    code = np.asarray(frame["stage__code"], dtype=np.float64)
    for name, head in sorted(part.parameters["models"].items()):
        who = np.flatnonzero(np.isin(code, head["stages"]))
        effect = np.full(len(who), float(head["mean_effect"]))
        if head["ranks"] and len(who):
            prefix = f"{name}."
            boosters = {
                key.removeprefix(prefix): booster
                for key, booster in part.boosters.items()
                if key.startswith(prefix)
            }
            effect = uplift_effect(Part("uplift", head, boosters), frame.iloc[who])
        for row, value in zip(who, np.clip(effect, -1.0, 1.0).round(6).tolist(), strict=True):
            rows[row] |= dict.fromkeys(head["campaigns"], value)
    return [json.dumps(row, sort_keys=True) if row else None for row in rows]
