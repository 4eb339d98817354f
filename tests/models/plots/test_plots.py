from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from models.metrics import metrics
from models.plots import evaluation_plots, stage_flow

NAMES = ["lapsed", "loyalty", "conversion", "retention"]
codes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def drawn(figure) -> None:
    FigureCanvasAgg(figure).draw()


def test_reliability_bins_hold_everyone_and_give_the_ece():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 4, 500)
    y = (rng.random(500) < p).astype(float)
    data = evaluation_plots.reliability_data(y, p)
    assert data["n"].sum() == 500
    assert (data["low"] <= data["observed"]).all()
    assert (data["observed"] <= data["high"]).all()
    assert np.average(abs(data["predicted"] - data["observed"]), weights=data["n"]) == (
        pytest.approx(metrics.ece(y, p))
    )
    drawn(evaluation_plots.reliability(y, p))


def test_wilson_interval_of_nothing_observed():
    data = evaluation_plots.reliability_data(np.zeros(10), np.full(10, 0.1), bins=1)
    assert data["low"].item() == pytest.approx(0.0)
    assert data["high"].item() == pytest.approx(0.2775, abs=1e-4)  # textbook: 0 of 10


def test_gains_of_a_perfect_and_a_reversed_ranking():
    y = np.array([1.0, 1.0, 0.0, 0.0])
    data = evaluation_plots.gains_data(y, {"perfect": y, "reversed": -y})
    half = data[data["contacted"] == 0.5].set_index("method")["captured"]
    assert half["perfect"] == 1.0
    assert half["reversed"] == 0.0
    assert data[data["contacted"] == 1.0]["captured"].tolist() == [1.0, 1.0]
    drawn(evaluation_plots.gains(y, {"perfect": y, "reversed": -y}))
    drawn(evaluation_plots.gains(y, y))


def test_clv_deciles_keep_the_totals():
    rng = np.random.default_rng(0)
    clv = rng.gamma(1.0, 100.0, 237)
    spend = rng.permutation(clv)
    data = evaluation_plots.clv_deciles_data(spend, clv, clv - 10, clv + 10)
    assert data["decile"].tolist() == list(range(1, 11))
    assert (data["predicted"] * data["n"]).sum() == pytest.approx(clv.sum())
    assert (data["actual"] * data["n"]).sum() == pytest.approx(spend.sum())
    assert data["predicted"].is_monotonic_decreasing
    inside = abs(spend - clv) <= 10
    assert (data["coverage"] * data["n"]).sum() == pytest.approx(inside.sum())
    drawn(evaluation_plots.clv_deciles(spend, clv, clv - 10, clv + 10, currency="USD"))


@given(codes)
def test_confusion_counts_everyone_and_its_rows_sum_to_one(pairs):
    truth, said = zip(*pairs, strict=True)
    data = evaluation_plots.confusion_data(truth, said, NAMES)
    assert data["n"].sum() == len(pairs)
    shares = data.groupby("truth")["share"].sum(min_count=1).dropna()
    np.testing.assert_allclose(shares, 1.0)
    assert set(shares.index) == {NAMES[code] for code in truth}


@given(codes)
def test_stage_flow_of_two_dates_is_the_transition_matrix(pairs):
    before, after = zip(*pairs, strict=True)
    flow = evaluation_plots.stage_flow_data(before, after, NAMES)
    matrix = evaluation_plots.transition_matrix_data(before, after, NAMES)
    matrix = matrix[matrix["n"] > 0].set_index(["from", "to"])["n"].sort_index()
    found = flow.set_index(["from_stage", "to_stage"])["n"].sort_index()
    assert matrix.astype(int).to_dict() == found.to_dict()


def test_stage_pictures_draw_with_empty_stages_too():
    before, after = [0, 0, 1], [0, 1, 1]
    drawn(evaluation_plots.confusion(before, after, NAMES))
    drawn(evaluation_plots.transition_matrix(before, after, NAMES))
    drawn(evaluation_plots.stage_flow(before, after, NAMES))


def test_stage_flow_tells_newcomers_and_forgets_nobody():
    paths = pd.DataFrame(
        {
            "customer_id": ["a", "a", "b", "a", "b"],
            "snapshot_at": pd.to_datetime(
                ["2024-01-01", "2024-02-01", "2024-02-01", "2024-03-01", "2024-03-01"]
            ),
            "stage": ["conversion", "retention", "conversion", "lapsed", "retention"],
        }
    )
    data = stage_flow.flow_data(paths)
    rows = data[["from_stage", "to_stage", "n"]].itertuples(index=False, name=None)
    assert sorted(rows) == [
        ("conversion", "retention", 1),
        ("conversion", "retention", 1),
        ("new", "conversion", 1),
        ("retention", "lapsed", 1),
    ]
    drawn(stage_flow.flow_figure(data, NAMES))
    with pytest.raises(ValueError, match="two dates"):
        stage_flow.flow_data(paths.head(1))
