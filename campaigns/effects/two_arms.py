"""Two randomised arms in strata: the input of every estimate, and the estimate itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

_FEWEST_PEOPLE_IN_STRATUM = 20  # in each arm


@dataclass(frozen=True)
class Effect:
    """Difference between two arms per person, with its interval.

    Attributes
    ----------
    treated, control
        Mean per person of each arm, every stratum with its weight.
    difference, low, high
        Treatment minus control, and its interval; NaN where no answer is possible.
    p_value
        Two-sided, for no difference.
    variance_left
        Share of the outcome's variance that the covariates do not explain; 1 without covariates.
    """

    treated: float
    control: float
    difference: float
    low: float
    high: float
    p_value: float
    variance_left: float = 1.0


@dataclass(frozen=True)
class TwoArms:
    """People of an experiment; all arrays have one entry per person.

    Attributes
    ----------
    outcome
        What is compared.
    treated
        True in the treatment arm.
    stratum
        Codes 0, 1, ...; people are compared within a stratum only.
    covariates
        Shape (people, covariates): known at the draw; NaN: unknown.
    denominator
        What the outcome is divided by, not negative; 1 for a mean.
    """

    outcome: Floats
    treated: Booleans
    stratum: Integers
    covariates: Floats
    denominator: Floats

    @classmethod
    def of(
        cls,
        outcome: npt.ArrayLike,
        treated: npt.ArrayLike,
        stratum: npt.ArrayLike | None = None,
        covariates: npt.ArrayLike | None = None,
        denominator: npt.ArrayLike | None = None,
    ) -> TwoArms:
        """Two arms from array-likes; by default one stratum, no covariates, and a mean.

        Strata with an empty arm say nothing about the difference and are left out
        (`people_compared`).
        """
        values, arm = np.asarray(outcome, dtype=float), np.asarray(treated, dtype=bool)
        people = len(values)
        codes = (
            np.zeros(people, np.int64) if stratum is None else pd.factorize(np.asarray(stratum))[0]
        )
        known = np.empty((people, 0)) if covariates is None else np.asarray(covariates, dtype=float)
        divided_by = np.asarray(1.0 if denominator is None else denominator, dtype=float)
        compared = people_compared(arm, codes)
        return cls(
            values[compared],
            arm[compared],
            np.unique(codes[compared], return_inverse=True)[1].astype(np.int64),
            known[compared],
            np.broadcast_to(divided_by, people)[compared],
        )

    @property
    def sizes(self) -> tuple[Floats, Floats]:
        """People by stratum: treatment arm, control arm."""
        strata = int(self.stratum.max(initial=-1)) + 1
        treated, control = (
            np.bincount(self.stratum[in_arm], minlength=strata).astype(np.float64)
            for in_arm in (self.treated, ~self.treated)
        )
        return treated, control

    @property
    def weights(self) -> Floats:
        """Weight of each stratum (Mantel-Haenszel): it follows the smaller arm. Sums to 1."""
        treated, control = self.sizes
        information = treated * control / (treated + control)
        return information / information.sum()

    def arm_means(self) -> tuple[Floats, Floats]:
        """Mean outcome by stratum: treatment arm, control arm."""
        treated, control = self.sizes
        total = np.bincount(self.stratum, weights=self.outcome, minlength=len(treated))
        in_treatment = np.bincount(
            self.stratum, weights=self.outcome * self.treated, minlength=len(treated)
        )
        return in_treatment / treated, (total - in_treatment) / control


def people_compared(treated: Booleans, stratum: Integers) -> Booleans:
    """True for people in a stratum that has both arms."""
    if not len(stratum):
        return treated
    sizes, in_treatment = np.bincount(stratum), np.bincount(stratum, weights=treated)
    both: Booleans = ((in_treatment > 0) & (in_treatment < sizes))[stratum]
    return both


def strata_of_waves(
    waves: npt.ArrayLike, control_share: npt.ArrayLike, treated: npt.ArrayLike
) -> Integers:
    """Stratum of each person: the wave; successive small waves of one control share together.

    Waves with different planned shares never share a stratum: their mixture of arms differs, and
    so may their customers. Waves of one share are joined until both arms have 20 people. The rule
    looks at sizes only, never at outcomes.

    Parameters
    ----------
    waves, control_share, treated
        Day of entry, planned share of control, and arm of each person.
    """
    people = pd.DataFrame({"wave": waves, "share": control_share, "treated": treated})
    sizes = (
        people.groupby(["share", "wave"], sort=True)["treated"]
        .agg(treated="sum", people="size")
        .reset_index()
    )
    stratum_of_wave: dict[tuple[float, object], int] = {}
    stratum = -1
    for _, share_waves in sizes.groupby("share", sort=True):
        # A new stratum begins once the current one is large enough; a small rest joins the last.
        first_stratum, treated_count, control_count = stratum + 1, 0, 0
        stratum += 1
        for wave in share_waves.itertuples():
            stratum_of_wave[(float(wave.share), wave.wave)] = stratum
            treated_count += int(wave.treated)
            control_count += int(wave.people - wave.treated)
            if min(treated_count, control_count) >= _FEWEST_PEOPLE_IN_STRATUM:
                stratum, treated_count, control_count = stratum + 1, 0, 0
        last_is_small = min(treated_count, control_count) < _FEWEST_PEOPLE_IN_STRATUM
        if last_is_small and stratum > first_stratum:
            for key, code in stratum_of_wave.items():
                if code == stratum:
                    stratum_of_wave[key] = stratum - 1
            stratum -= 1
    keys = zip(people["share"].astype(float), people["wave"], strict=True)
    return np.array([stratum_of_wave[key] for key in keys], dtype=np.int64)
