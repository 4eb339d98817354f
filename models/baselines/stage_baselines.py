"""What the current-stage model is measured against, on the same training snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.stage import stage_codes, stage_recency_bins

_SMOOTHING = 10.0  # customers that the stage-only frequencies weigh
_DECILES = 10


def _smoothed_frequencies(
    group: Array, code: Array, y: Array, shape: tuple[int, int, int]
) -> Array:
    """Class frequencies by stage and group, drawn to the stage-only ones.

    Parameters
    ----------
    group, code, y
        Group, rule stage and class of every training row; stage codes may reach shape[0] - 1,
        which is the stage of those whose stage is not known.
    shape
        Stages + 1, groups, classes.

    Returns
    -------
    Array of `shape`, summing to 1 over the last axis. A stage never seen, and the unknown one,
    has the frequencies of all.
    """
    counts = np.zeros(shape)
    np.add.at(counts, (code, group, y), 1.0)
    overall = counts.sum(axis=(0, 1))
    overall = overall / overall.sum() if overall.sum() > 0 else np.full(shape[2], 1.0 / shape[2])
    by_stage = counts.sum(axis=1)
    total = by_stage.sum(axis=1, keepdims=True)
    prior = np.where(total > 0, by_stage / np.maximum(total, 1.0), overall)
    prior[-1] = overall
    p = counts + _SMOOTHING * prior[:, None, :]
    return np.asarray(p / p.sum(axis=2, keepdims=True))


def fit_frequency_table(frame: pd.DataFrame, stages: int) -> dict[str, Any]:
    """Frequency table rule stage x recency decile, smoothed with weight 10; JSON-able.

    Parameters
    ----------
    frame
        Training rows with stage__code, purchase__recency_days and truth_code.
    stages
        Number of stages of the taxonomy.
    """
    code = stage_codes(frame, stages)
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    edges: list[list[float]] = []
    for stage in range(stages):
        mine = recency[(code == stage) & ~np.isnan(recency)]
        cuts = np.quantile(mine, np.arange(1, _DECILES) / _DECILES) if len(mine) else np.empty(0)
        edges.append(cuts.tolist())
    bins = stage_recency_bins(edges, frame, code)
    y = frame["truth_code"].to_numpy().astype(int)
    p = _smoothed_frequencies(bins, code, y, (stages + 1, _DECILES + 1, stages))
    return {"edges": edges, "p": p.tolist()}


def _rank_bins(frame: pd.DataFrame) -> Array:
    """Recency decile among those of the same rule stage at the same snapshot; 10: never bought."""
    groups = [frame["snapshot_at"], frame["stage__code"]]
    rank = frame["purchase__recency_days"].groupby(groups).rank(pct=True).to_numpy()
    bins = np.ceil(np.nan_to_num(rank, nan=1.0) * _DECILES) - 1
    return np.where(np.isnan(rank), _DECILES, bins).astype(int)


def frequency_table(train: pd.DataFrame, rows: pd.DataFrame, *, stages: int) -> dict[str, Array]:
    """Frequency table with deciles ranked within each snapshot: the baseline of the figures.

    It moves with the population at the test snapshot, as MODELS.md's reference does, and is
    stronger than fixed edges.

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
    y = train["truth_code"].to_numpy().astype(int)
    code = stage_codes(train, stages)
    shape = (stages + 1, _DECILES + 1, stages)
    p = _smoothed_frequencies(_rank_bins(train), code, y, shape)
    return {"probabilities": p[stage_codes(rows, stages), _rank_bins(rows)]}


def rule_only(train: pd.DataFrame, rows: pd.DataFrame, *, stages: int) -> dict[str, Array]:
    """Frequencies by rule stage alone, and the rule stage itself as the prediction.

    Returns
    -------
    ``probabilities`` (rows x stages) and ``code`` (the rule stage).
    """
    y = train["truth_code"].to_numpy().astype(int)
    code = stage_codes(train, stages)
    p = _smoothed_frequencies(np.zeros(len(y), int), code, y, (stages + 1, 1, stages))
    now = stage_codes(rows, stages)
    return {"probabilities": p[now, 0], "code": np.minimum(now, stages - 1)}
