"""Hold-outs: who gets no message, so that the campaign's effect can be told from chance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.config.customers import GlobalHoldout

# Never a campaign's name: those begin with a letter.
_GLOBAL = "*global"
TREATMENT = "treatment"
CONTROL = "control"

# (z for 5 % two-sided + z for 80 % power) squared: (1.96 + .84) ** 2.
_POWER_FACTOR = 7.84


def uniform_draws(
    customers: Sequence[str], *, salt: str, campaign: str, wave: str
) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each customer, always the same for the same names.

    Keyed BLAKE2b of campaign, wave and customer: independent between campaigns and waves, and
    not to be guessed without the salt.

    Parameters
    ----------
    customers
        Customer ids.
    salt
        The project's own text; another salt draws anew.
    campaign, wave
        Campaign id, and the wave in which the customers entered it.

    Returns
    -------
    ndarray of float64, shape (customers,)
    """
    key = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()
    # Lengths go first, so that no two different (campaign, wave) spell the same bytes.
    name_prefix = f"{len(campaign)}:{campaign}{len(wave)}:{wave}".encode("utf-8", "surrogatepass")
    prefix_hash = hashlib.blake2b(name_prefix, key=key, digest_size=8)
    draws = np.empty(len(customers), dtype=np.uint64)
    for position, customer in enumerate(customers):
        digest = prefix_hash.copy()
        digest.update(customer.encode("utf-8", "surrogatepass"))
        draws[position] = int.from_bytes(digest.digest(), "big")
    # The upper 53 bits: more would round up to 1.
    return (draws >> np.uint64(11)).astype(np.float64) / 2.0**53


def assign_arms(
    customers: Sequence[str], *, salt: str, campaign: str, wave: str, control_share: float
) -> npt.NDArray[np.object_]:
    """Arm of each selected customer: ``control`` with the given probability, else ``treatment``."""
    held_out = uniform_draws(customers, salt=salt, campaign=campaign, wave=wave) < control_share
    return np.where(held_out, CONTROL, TREATMENT).astype(object)


def in_global_holdout(
    customers: Sequence[str], holdout: GlobalHoldout, *, salt: str
) -> npt.NDArray[np.bool_]:
    """Whom no promotional campaign may reach until the global hold-out ends."""
    draws = uniform_draws(customers, salt=salt, campaign=_GLOBAL, wave=holdout.wave)
    return draws < holdout.share


def smallest_detectable_effect(
    customers: int, base_rate: float, control_share: float
) -> float | None:
    """Difference of two rates that a hold-out shows with 80 % power at 5 % (two-sided).

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
        In the unit of the rate; None where there is no one, no control or no rate.
    """
    if customers == 0 or not 0 < control_share < 1 or not 0 <= base_rate <= 1:
        return None
    spread = base_rate * (1 - base_rate) / (control_share * (1 - control_share))
    return float(np.sqrt(_POWER_FACTOR * spread / customers))
