"""Numbers that BTYD must reproduce, and how they were made.

`PUBLISHED` comes from the papers and their notes (time in weeks, CDNOW 1/10 sample, repeat days of
the first 39 weeks): Fader, Hardie and Lee (2005) for BG/NBD, Fader and Hardie (2013) for
Gamma-Gamma. `MBG_NBD` was made by this file (python -m tests.golden.btyd) once its likelihood had
been checked against a two-line one in tests/models/fitting/test_btyd.py.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

CALIBRATION_END = pd.Timestamp("1997-09-30")
HOLDOUT_END = pd.Timestamp("1998-06-30")
HOLDOUT_WEEKS = 39

PUBLISHED = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426, "log_likelihood": -9582.4}
PUBLISHED_VALUE = {"p": 6.25, "q": 3.74, "v": 15.44, "customers": 946}
HOLDOUT = {"predicted": 1653, "actual": 1882}
MBG_NBD = {"r": 0.524843, "alpha": 6.183085, "a": 0.891359, "b": 1.614002, "ll": -9582.1357}


def sample() -> pd.DataFrame:
    """Purchase days of the CDNOW 1/10 sample: customer_id, day, amount."""
    spec = find_spec("lifetimes")
    folder = Path(str(spec.origin)).parent / "datasets"
    names = ["master_id", "customer_id", "day", "number", "amount"]
    rows = pd.read_csv(folder / "CDNOW_sample.txt", sep=r"\s+", header=None, names=names)
    rows["day"] = pd.to_datetime(rows["day"].astype(str))
    return rows.groupby(["customer_id", "day"], as_index=False)["amount"].sum()


def inputs() -> np.ndarray:
    """Columns x, t_x, T of all 2,357 customers, in weeks."""
    days = sample().query("day <= @CALIBRATION_END").groupby("customer_id")["day"]
    first, last = days.min(), days.max()
    weeks = [(last - first).dt.days / 7, (CALIBRATION_END - first).dt.days / 7]
    return np.column_stack([days.size() - 1, *weeks]).astype(float)


def values() -> np.ndarray:
    """Columns n, mean of the valued repeat purchase days of the repeat buyers."""
    days = sample().query("day <= @CALIBRATION_END")
    first = days.groupby("customer_id")["day"].transform("min")
    repeats = days[(days["day"] > first) & (days["amount"] > 0)]
    return repeats.groupby("customer_id")["amount"].agg(["size", "mean"]).to_numpy(dtype=float)


def holdout_days() -> int:
    """Purchase days of the 39 weeks after the calibration period."""
    return len(sample().query("@CALIBRATION_END < day <= @HOLDOUT_END"))


if __name__ == "__main__":
    from models.fitting.btyd import MBGNBD

    print(MBGNBD().fit(inputs()).to_parameters())
