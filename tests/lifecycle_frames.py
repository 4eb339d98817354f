"""Made-up feature frames with stages whose outcome depends on the features in a known way."""

from __future__ import annotations

import numpy as np
import pandas as pd

STAGES = ["lapsed", "loyal", "regular"]
PERIODS, PERIOD_DAYS = 4, 7


def contexts(frame: pd.DataFrame) -> dict[pd.Timestamp, dict[str, float]]:
    """A scoring context for every snapshot of `frame`."""
    return {pd.Timestamp(at): {"population_gap_days": 12.0} for at in frame["snapshot_at"].unique()}


def life(customers: int = 300, snapshots: int = 3, seed: int = 0) -> pd.DataFrame:
    """Feature rows with ``truth_code``, ``next_code`` and ``period``.

    Whether a customer is truly lapsed follows their recency; the silent period is exact for those
    who are not active.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for number in range(snapshots):
        code = rng.integers(0, len(STAGES), customers)
        recency = np.where(
            code == 0, rng.integers(30, 90, customers), rng.integers(1, 30, customers)
        )
        activity = rng.normal(size=customers)
        truth = np.where((recency > 20) & (activity < 0.5), 0, np.where(activity > 0.8, 1, 2))
        silent = np.clip((30 - recency) // PERIOD_DAYS + 1, 1, PERIODS + 1)
        silent = np.where(code == 0, PERIODS + 1, silent)
        leaves = (code != 0) & (silent <= PERIODS) & (activity < 0)
        comes = (code == 0) & (activity > 1.0)
        parts.append(
            pd.DataFrame(
                {
                    "customer_id": [f"c{i}" for i in range(customers)],
                    "snapshot_at": np.datetime64("2024-03-04", "s")
                    + np.timedelta64(28 * number, "D"),
                    "label_end_at": np.datetime64("2024-03-04", "s")
                    + np.timedelta64(28 * (number + 1), "D"),
                    "stage": np.asarray(STAGES)[code],
                    "purchase__recency_days": recency.astype(float),
                    "purchase__count_30d": np.round(np.exp(activity), 1),
                    "tenure__days": 200.0 + rng.integers(0, 200, customers),
                    "cadence__days": 5.0,
                    "cadence__span_days": 100.0,
                    "cadence__gap_mean": 20.0,
                    "stage__code": code.astype(float),
                    "stage__silent_period": silent.astype(float),
                    "stage__periods_in_stage": rng.integers(0, 8, customers).astype(float),
                    "activity__level": activity,
                    "truth_code": truth.astype(float),
                    "next_code": np.where(leaves, 0, np.where(comes, 2, -1)).astype(float),
                    "period": np.where(leaves, silent, np.where(comes, 1, 0)).astype(float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows, and the rows of the last snapshot."""
    last = frame["snapshot_at"].max()
    return frame[frame["snapshot_at"] < last], frame[frame["snapshot_at"] == last]
