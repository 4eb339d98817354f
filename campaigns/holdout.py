"""Hold-outs: randomised customers without messages, to measure the effect of campaigns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.config.customers import GlobalHoldout

# Distinct from campaign names, which begin with a letter.
_GLOBAL = "*global"
TREATMENT = "treatment"
CONTROL = "control"

FEWEST_PEOPLE = 30  # in each arm; no result is shown for fewer

# (z for 5 % two-sided + z for 80 % power) squared: (1.96 + .84) ** 2.
_POWER_FACTOR = 7.84


def uniform_draws(
    customers: Sequence[str], *, salt: str, campaign: str, wave: str
) -> npt.NDArray[np.float64]:
    """Reproducible uniform number in [0, 1) per customer.

    Keyed BLAKE2b of campaign, wave and customer: independent between campaigns and waves, and
    unpredictable without the salt.

    Parameters
    ----------
    customers
        Customer ids.
    salt
        Secret text of the project; another salt gives other draws.
    campaign, wave
        Campaign id, and the wave in which the customers entered.

    Returns
    -------
    ndarray of float64, shape (customers,)
    """
    key = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    # Length prefixes keep the bytes of different (campaign, wave) pairs distinct.
    name_prefix = f"{len(campaign)}:{campaign}{len(wave)}:{wave}".encode("utf-8", "surrogatepass")
    prefix_hash = hashlib.blake2b(name_prefix, key=key, digest_size=8)
    draws = np.empty(len(customers), dtype=np.uint64)
    for position, customer in enumerate(customers):
        digest = prefix_hash.copy()
        digest.update(customer.encode("utf-8", "surrogatepass"))
        draws[position] = int.from_bytes(digest.digest(), "big")
    # Use the upper 53 bits: more bits could round up to 1.
    return (draws >> np.uint64(11)).astype(np.float64) / 2.0**53


def assign_arms(
    customers: Sequence[str], *, salt: str, campaign: str, wave: str, control_share: float
) -> npt.NDArray[np.object_]:
    """Arm per customer: ``control`` with probability `control_share`, else ``treatment``."""
    held_out = uniform_draws(customers, salt=salt, campaign=campaign, wave=wave) < control_share
    return np.where(held_out, CONTROL, TREATMENT).astype(object)


def in_global_holdout(
    customers: Sequence[str], holdout: GlobalHoldout, *, salt: str
) -> npt.NDArray[np.bool_]:
    """True for customers in the global hold-out."""
    draws = uniform_draws(customers, salt=salt, campaign=_GLOBAL, wave=holdout.wave)
    return draws < holdout.share


def smallest_detectable_effect(
    customers: int, base_rate: float, control_share: float
) -> float | None:
    """Difference of two rates that a hold-out detects with 80 % power at 5 % (two-sided).

    Solves N = 7.84 p(1-p) / (d^2 c(1-c)) for d, the normal approximation for two proportions.

    Parameters
    ----------
    customers
        Customers in both arms.
    base_rate
        Expected rate p without the campaign, 0 to 1.
    control_share
        Share c of the customers in control.

    Returns
    -------
    float or None
        In the unit of the rate; None without customers, control or rate.
    """
    if customers == 0 or not 0 < control_share < 1 or not 0 <= base_rate <= 1:
        return None
    spread = base_rate * (1 - base_rate) / (control_share * (1 - control_share))
    return float(np.sqrt(_POWER_FACTOR * spread / customers))


def people_needed(control_share: float) -> int | None:
    """People in both arms below which no answer is possible; None without a control arm."""
    if not 0 < control_share < 1:
        return None
    return math.ceil(FEWEST_PEOPLE / min(control_share, 1 - control_share) - 1e-9)


def suggested_control_share(
    customers: int, base_rate: float, effect: float, *, variance_left: float = 1.0
) -> float | None:
    """Smallest control share that detects an effect with 80 % power at 5 % (two-sided).

    Parameters
    ----------
    customers
        Customers in both arms.
    base_rate
        Expected rate without the campaign, 0 to 1.
    effect
        Difference of two rates to detect.
    variance_left
        Share of the variance that covariates leave; see `campaigns.effects.two_arms.Effect`.

    Returns
    -------
    float or None
        Up to .5; None if no share detects the effect.
    """
    if customers == 0 or not 0 <= base_rate <= 1 or not effect > 0:
        return None
    # N = 7.84 v / (d^2 c (1 - c)), solved for c.
    product = _POWER_FACTOR * base_rate * (1 - base_rate) * variance_left / (effect**2 * customers)
    smallest = FEWEST_PEOPLE / customers
    if product > 0.25 or smallest > 0.5:
        return None
    return max((1 - math.sqrt(1 - 4 * product)) / 2, smallest)
