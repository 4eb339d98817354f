"""Baselines of the current stage, trained on the same snapshots as the served recipe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.stage import stage_codes, stage_recency_bins

_SMOOTHING = 10.0  # weight of the stage-only frequencies, in customers
_DECILES = 10


def _smoothed_frequencies(
    groups: Array, codes: Array, target: Array, shape: tuple[int, int, int]
) -> Array:
    """Class frequencies by stage and group, smoothed towards those of the stage.

    Parameters
    ----------
    groups, codes, target
        Group, rule stage and class of every training row; the stage code shape[0] - 1 stands for
        an unknown stage.
    shape
        Stages + 1, groups, classes.

    Returns
    -------
    Array of `shape`, summing to 1 over the last axis. Stages without rows, and the unknown one,
    get the frequencies of all rows.
    """
    counts = np.zeros(shape)
    np.add.at(counts, (codes, groups, target), 1.0)
    overall_rates = counts.sum(axis=(0, 1))
    overall_rates = (
        overall_rates / overall_rates.sum()
        if overall_rates.sum() > 0
        else np.full(shape[2], 1.0 / shape[2])
    )
    by_stage = counts.sum(axis=1)
    stage_totals = by_stage.sum(axis=1, keepdims=True)
    prior = np.where(stage_totals > 0, by_stage / np.maximum(stage_totals, 1.0), overall_rates)
    prior[-1] = overall_rates
    smoothed = counts + _SMOOTHING * prior[:, None, :]
    return np.asarray(smoothed / smoothed.sum(axis=2, keepdims=True))


def fit_frequency_table(frame: pd.DataFrame, stages: int) -> dict[str, Any]:
    """Frequency table rule stage x recency decile, smoothed with weight 10; JSON-able.

    Parameters
    ----------
    frame
        Training rows with stage__code, purchase__recency_days and truth_code.
    stages
        Number of stages of the taxonomy.
    """
    codes = stage_codes(frame, stages)
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    edges: list[list[float]] = []
    for stage in range(stages):
        stage_recency = recency[(codes == stage) & ~np.isnan(recency)]
        deciles = (
            np.quantile(stage_recency, np.arange(1, _DECILES) / _DECILES)
            if len(stage_recency)
            else np.empty(0)
        )
        edges.append(deciles.tolist())
    recency_bins = stage_recency_bins(edges, frame, codes)
    target = frame["truth_code"].to_numpy().astype(int)
    probability = _smoothed_frequencies(
        recency_bins, codes, target, (stages + 1, _DECILES + 1, stages)
    )
    return {"edges": edges, "p": probability.tolist()}


def fit_rule_frequencies(frame: pd.DataFrame, stages: int) -> list[list[float]]:
    """Frequencies of the true stage by rule stage alone; the last row is for unknown stages."""
    target = frame["truth_code"].to_numpy().astype(int)
    groups = np.zeros(len(target), int)
    frequencies = _smoothed_frequencies(
        groups, stage_codes(frame, stages), target, (stages + 1, 1, stages)
    )
    return [[float(share) for share in row] for row in frequencies[:, 0]]


def _rank_bins(frame: pd.DataFrame) -> Array:
    """Recency decile within rule stage and snapshot, 0-9; 10 for customers who never bought."""
    group_keys = [frame["snapshot_at"], frame["stage__code"]]
    ranks = frame["purchase__recency_days"].groupby(group_keys).rank(pct=True).to_numpy()
    rank_bins = np.ceil(np.nan_to_num(ranks, nan=1.0) * _DECILES) - 1
    return np.where(np.isnan(ranks), _DECILES, rank_bins).astype(int)


def frequency_table(train: pd.DataFrame, rows: pd.DataFrame, *, stages: int) -> dict[str, Array]:
    """Frequency table with deciles ranked within each snapshot.

    Ranks adapt to the population at the test snapshot, which is a stronger baseline than fixed
    edges.

    Parameters
    ----------
    train
        Training rows with truth_code.
    rows
        All rows of the test snapshot's population.
    stages
        Number of stages.

    Returns
    -------
    ``probabilities``, rows x stages.
    """
    target = train["truth_code"].to_numpy().astype(int)
    codes = stage_codes(train, stages)
    shape = (stages + 1, _DECILES + 1, stages)
    probability = _smoothed_frequencies(_rank_bins(train), codes, target, shape)
    return {"probabilities": probability[stage_codes(rows, stages), _rank_bins(rows)]}


def rule_only(train: pd.DataFrame, rows: pd.DataFrame, *, stages: int) -> dict[str, Array]:
    """Frequencies by rule stage alone, and the rule stage itself as the prediction.

    Returns
    -------
    ``probabilities`` (rows x stages) and ``code`` (the rule stage).
    """
    probability = np.asarray(fit_rule_frequencies(train, stages))
    current_codes = stage_codes(rows, stages)
    return {
        "probabilities": probability[current_codes],
        "code": np.minimum(current_codes, stages - 1),
    }
