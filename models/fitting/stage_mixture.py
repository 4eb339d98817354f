"""Mixture of the methods of the current stage: probabilities weighted by what they were worth.

The weights are learned at the validation snapshot, with methods fitted only on labels that had
matured by then; a method that knew the same customers a month later would look too good.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.arrays import Array

MIXTURE = "mixture"
_PRIOR_ROWS = 50.0  # rows of evidence for equal weights
_LEAST_WEIGHT = 0.02  # below it a method is left out
_PASSES = 200


def mixture_weights(likelihoods: Mapping[str, Array]) -> dict[str, float]:
    """Weights of a mixture with the greatest likelihood, shrunk towards equal ones.

    By expectation maximisation (Dempster, Laird and Rubin 1977) with a Dirichlet prior.

    Parameters
    ----------
    likelihoods
        By method the probability that it gave to the true class of every row.

    Returns
    -------
    Weights that sum to 1; methods of little weight are left out. Equal weights without a row.
    """
    names = list(likelihoods)
    rows = np.column_stack([likelihoods[name] for name in names])
    weights = np.full(len(names), 1.0 / len(names))
    prior = _PRIOR_ROWS / len(names)
    for _ in range(_PASSES):
        shares = weights * rows
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        weights = (shares.sum(axis=0) + prior) / (len(rows) + _PRIOR_ROWS)
    weights = np.where(weights >= _LEAST_WEIGHT, weights, 0.0)
    weights /= weights.sum()
    return {name: float(w) for name, w in zip(names, weights, strict=True) if w > 0}
