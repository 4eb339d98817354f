"""BG/NBD and Gamma-Gamma of lifetimes."""

from __future__ import annotations

import json
import sys
import time

import pandas as pd
from lifetimes import BetaGeoFitter, GammaGammaFitter

rows = pd.read_csv(sys.argv[1])
start = time.process_time()
life = BetaGeoFitter(penalizer_coef=0.0).fit(rows["x"], rows["t_x"], rows["T"])
middle = time.process_time()
valued = rows[rows["n"] > 0]
money = GammaGammaFitter(penalizer_coef=0.0).fit(valued["n"], valued["value"])
end = time.process_time()
print(
    json.dumps(
        {
            "bg_nbd": [float(life.params_[name]) for name in ("r", "alpha", "a", "b")],
            "seconds": middle - start,
            "gamma_gamma": [float(money.params_[name]) for name in ("p", "q", "v")],
            "seconds_value": end - middle,
        }
    )
)
