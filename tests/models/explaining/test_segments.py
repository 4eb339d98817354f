"""Segments by two cut-offs, and the same customers chosen by rules of a playbook."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.rules import RuleContext, parse_rule, rule_holds
from models.explaining.segments import SEGMENT_NAMES, SegmentCutoffs, customer_segments

CUTOFFS = SegmentCutoffs(risk=0.4, value=25.0)
SHARES = st.one_of(st.none(), st.sampled_from([0.0, 0.4, 0.39999, 1.0]), st.floats(0, 1))
MONEY = st.one_of(st.none(), st.sampled_from([0.0, 25.0, 24.999]), st.floats(0, 1e6))


@given(st.lists(st.tuples(SHARES, MONEY, MONEY), min_size=1, max_size=30))
def test_the_rule_of_a_segment_chooses_its_customers(
    rows: list[tuple[float | None, float | None, float | None]],
) -> None:
    scores = pd.DataFrame(rows, columns=["p_churn", "clv", "average_order_value"], dtype=float)
    segments = customer_segments(scores, CUTOFFS)
    context = RuleContext(pd.Timestamp("2024-01-01"), {})
    for name in SEGMENT_NAMES:
        chosen = rule_holds(parse_rule(CUTOFFS.audience_rule(name)), scores, context)
        np.testing.assert_array_equal(chosen, segments == name)


def test_there_is_no_rule_for_another_name() -> None:
    with pytest.raises(KeyError):
        CUTOFFS.audience_rule("Everyone")
