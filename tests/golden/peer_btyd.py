"""What lifetimes 0.11.3 says of the CDNOW sample, and how it was asked.

Made by this file in an environment with lifetimes (python -W ignore -m tests.golden.peer_btyd);
the tests read the numbers and never import it. Time in weeks, money in dollars; the customers of
`ROWS` are positions in `tests.golden.btyd.inputs` and, for values, in `tests.golden.btyd.values`.
"""

from __future__ import annotations

from typing import Any

ROWS = (0, 3, 17, 200, 943, 1500, 2001, 2356)
VALUE_ROWS = (0, 5, 100, 500, 945)
HORIZON = 39.0
LIFETIMES: dict[str, dict[str, Any]] = {
    "bg_nbd": {
        "parameters": {"r": 0.242595, "alpha": 4.413602, "a": 0.792922, "b": 2.425907},
        "expected": [
            1.225994,
            0.194794,
            0.297724,
            0.200157,
            1.524439,
            0.232182,
            0.247164,
            0.258979,
        ],
        "alive": [0.72662, 1.0, 0.310856, 1.0, 0.812052, 1.0, 1.0, 1.0],
    },
    "mbg_nbd": {
        "parameters": {"r": 0.524843, "alpha": 6.183085, "a": 0.891359, "b": 1.614002},
        "expected": [
            1.262759,
            0.153966,
            0.282695,
            0.159407,
            1.585604,
            0.192424,
            0.208134,
            0.220623,
        ],
        "alive": [0.706138, 0.389723, 0.255773, 0.393344, 0.802156, 0.413413, 0.422001, 0.428462],
    },
    "gamma_gamma": {
        "parameters": {"p": 6.249572, "q": 3.744225, "v": 15.443521},
        "expected": [24.653919, 29.90262, 22.099499, 19.604894, 33.500782],
    },
}


def asked() -> dict[str, dict[str, Any]]:
    """The numbers of `LIFETIMES`, made anew."""
    import numpy as np
    from lifetimes import BetaGeoFitter, GammaGammaFitter, ModifiedBetaGeoFitter

    from tests.golden import btyd as golden

    x, t_x, age = golden.inputs().T
    rows = np.asarray(ROWS)
    found: dict[str, dict[str, Any]] = {}
    for name, fitter in (("bg_nbd", BetaGeoFitter()), ("mbg_nbd", ModifiedBetaGeoFitter())):
        fitter.fit(x, t_x, age, tol=1e-8)
        some = x[rows], t_x[rows], age[rows]
        ahead = fitter.conditional_expected_number_of_purchases_up_to_time(HORIZON, *some)
        alive = fitter.conditional_probability_alive(*some)
        found[name] = {
            "parameters": {key: round(float(v), 6) for key, v in fitter.params_.items()},
            "expected": [round(float(v), 6) for v in np.asarray(ahead)],
            "alive": [round(float(v), 6) for v in np.asarray(alive)],
        }
    n, mean = golden.values().T
    gamma = GammaGammaFitter()
    gamma.fit(n, mean, tol=1e-8)
    some_values = np.asarray(VALUE_ROWS)
    worth = gamma.conditional_expected_average_profit(n[some_values], mean[some_values])
    found["gamma_gamma"] = {
        "parameters": {key: round(float(v), 6) for key, v in gamma.params_.items()},
        "expected": [round(float(v), 6) for v in np.asarray(worth)],
    }
    return found


if __name__ == "__main__":
    import pprint

    pprint.pprint(asked(), sort_dicts=False, width=98)
