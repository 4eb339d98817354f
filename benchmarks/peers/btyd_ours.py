"""BG/NBD and Gamma-Gamma of stagecast."""

from __future__ import annotations

import json
import sys
import time

import pandas as pd

from models.fitting.btyd import BGNBD, GammaGamma

rows = pd.read_csv(sys.argv[1])
start = time.process_time()
life = BGNBD().fit(rows[["x", "t_x", "T"]].to_numpy())
middle = time.process_time()
money = GammaGamma().fit(rows.loc[rows["n"] > 0, ["n", "value"]].to_numpy())
end = time.process_time()
print(
    json.dumps(
        {
            "bg_nbd": [life.r_, life.alpha_, life.a_, life.b_],
            "seconds": middle - start,
            "gamma_gamma": [money.p_, money.q_, money.v_],
            "seconds_value": end - middle,
        }
    )
)
