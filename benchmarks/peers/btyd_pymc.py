"""BG/NBD and Gamma-Gamma of pymc-marketing: the maximum a posteriori under flat priors."""

from __future__ import annotations

import json
import sys
import time

import pandas as pd
from pymc_extras.prior import Prior
from pymc_marketing.clv import BetaGeoModel, GammaGammaModel

FLAT = Prior("HalfFlat")
rows = pd.read_csv(sys.argv[1])
rows["customer_id"] = rows.index
life_rows = rows.rename(columns={"x": "frequency", "t_x": "recency"})
start = time.process_time()
life = BetaGeoModel(
    life_rows[["customer_id", "frequency", "recency", "T"]],
    model_config=dict.fromkeys(("r", "alpha", "a", "b"), FLAT),
)
life.fit(method="map", progressbar=False)
middle = time.process_time()
money_rows = rows[rows["n"] > 0].rename(columns={"n": "frequency", "value": "monetary_value"})
money = GammaGammaModel(
    money_rows[["customer_id", "frequency", "monetary_value"]],
    model_config=dict.fromkeys(("p", "q", "v"), FLAT),
)
money.fit(method="map", progressbar=False)
end = time.process_time()


def posterior(model, names):
    found = model.fit_result if hasattr(model, "fit_result") else model.idata.posterior
    return [float(found[name].to_numpy().ravel()[0]) for name in names]


r, alpha, a, b = posterior(life, ("r", "alpha", "a", "b"))
print(
    json.dumps(
        {
            "bg_nbd": [r, alpha, a, b],
            "seconds": middle - start,
            "gamma_gamma": posterior(money, ("p", "q", "v")),
            "seconds_value": end - middle,
        }
    )
)
