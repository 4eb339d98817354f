from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from campaigns.effects.two_arms import TwoArms, strata_of_waves

people = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([0.1, 0.5]), st.booleans()),
    min_size=1,
    max_size=300,
)


@given(people)
def test_strata_keep_waves_whole_and_shares_apart(rows: list[tuple[int, float, bool]]) -> None:
    waves, shares, treated = (np.array(column) for column in zip(*rows, strict=True))
    strata = strata_of_waves(waves, shares, treated)
    for stratum in np.unique(strata):
        inside = strata == stratum
        assert len(np.unique(shares[inside])) == 1
        others_of_share = (shares == shares[inside][0]) & ~inside
        small = min(treated[inside].sum(), (~treated[inside]).sum()) < 20
        # A small stratum stands alone: nothing is left to join it with.
        assert not (small and others_of_share.any())
    for wave, share in {(wave, share) for wave, share, _ in rows}:
        assert len(np.unique(strata[(waves == wave) & (shares == share)])) == 1


@given(people)
def test_weights_sum_to_one_and_arms_are_never_empty(
    rows: list[tuple[int, float, bool]],
) -> None:
    waves, _, treated = (np.array(column) for column in zip(*rows, strict=True))
    arms = TwoArms.of(np.ones(len(rows)), treated, waves)
    treated_sizes, control_sizes = arms.sizes
    assert (treated_sizes > 0).all()
    assert (control_sizes > 0).all()
    if len(arms.outcome):
        assert np.isclose(arms.weights.sum(), 1)
