"""Metrics against scikit-learn, hand-computed cases and invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.metrics import metrics
from tests.tries import tries

RNG = np.random.default_rng(3)
P = np.round(RNG.beta(0.6, 2.0, 700), 2)  # rounded: many ties
Y = (RNG.random(700) < P).astype(float)
SPEND = np.where(RNG.random(700) < 0.4, 0.0, RNG.gamma(2.0, 30.0, 700))
GUESS = SPEND * RNG.lognormal(0.0, 0.5, 700) + 5.0


def test_binary_metrics_equal_scikit_learn():
    clipped = np.clip(P, 1e-6, 1 - 1e-6)
    assert metrics.auc(Y, P) == pytest.approx(sk.roc_auc_score(Y, P), abs=1e-12)
    assert metrics.log_loss(Y, P) == pytest.approx(sk.log_loss(Y, clipped), abs=1e-12)
    assert metrics.brier(Y, P) == pytest.approx(sk.brier_score_loss(Y, P), abs=1e-12)


def test_money_metrics_equal_scikit_learn_and_scipy():
    assert metrics.mae(SPEND, GUESS) == pytest.approx(sk.mean_absolute_error(SPEND, GUESS))
    assert metrics.rmse(SPEND, GUESS) == pytest.approx(sk.root_mean_squared_error(SPEND, GUESS))
    from scipy.stats import spearmanr

    assert metrics.spearman(SPEND, GUESS) == pytest.approx(spearmanr(SPEND, GUESS).statistic)
    assert metrics.bias_pct([10, 30], [20, 30]) == pytest.approx(25.0)


def test_normalised_gini_is_twice_the_auc_minus_one_for_a_binary_target():
    assert metrics.gini(Y, P) == pytest.approx(2 * metrics.auc(Y, P) - 1, abs=1e-9)


def test_log_loss_is_clipped_at_one_millionth():
    assert metrics.log_loss([1.0], [0.0]) == pytest.approx(-np.log(1e-6))
    assert metrics.log_loss([0.0], [1.0]) == pytest.approx(-np.log(1e-6))


def test_ece_by_hand():
    # Two bins of two rows: |.15 - .5| and |.85 - 1|, equal weights.
    assert metrics.ece([0, 1, 1, 1], [0.1, 0.2, 0.8, 0.9], bins=2) == pytest.approx(0.25)


def test_ece_bins_have_equal_count_and_one_prediction_gives_the_gap_of_the_means():
    _, _, counts = metrics.reliability_bins(Y, P)
    assert len(counts) == 15
    assert counts.max() - counts.min() <= 1
    assert metrics.ece(Y, np.full(len(Y), 0.5)) == pytest.approx(abs(Y.mean() - 0.5))


def test_noise_floor_is_what_a_calibrated_model_shows():
    p = np.random.default_rng(0).beta(1, 3, 3000)
    floor = metrics.ece_noise_floor(p, seed=1)
    fresh = metrics.ece(np.random.default_rng(9).random(3000) < p, p)
    assert 0.5 * floor.mean < fresh < 1.5 * floor.high
    assert floor.mean < floor.high < metrics.ece(np.random.default_rng(9).random(3000) < p, p**2)
    assert metrics.ece_noise_floor(p, seed=1) == floor


def test_lift_and_top10_by_hand():
    y = np.r_[np.ones(2), np.zeros(18)]
    p = np.linspace(1, 0.05, 20)
    assert metrics.lift_10(y, p) == pytest.approx(10.0)
    assert metrics.lift_10(y, -p) == 0.0
    assert metrics.lift_10(y, np.zeros(20)) == pytest.approx(1.0)
    spend, guess = np.arange(20.0), np.r_[np.zeros(18), 1.0, 0.5]
    assert metrics.top10(spend, guess) == 1.0
    assert metrics.top10(spend, -np.arange(20.0)) == 0.0


def test_decile_error_by_hand():
    y = np.arange(1.0, 21.0)
    assert metrics.decile_error(y, y) == 0.0
    assert metrics.decile_error(y, 1.2 * y) == pytest.approx(0.2)


def test_decile_without_spend_is_left_out():
    y = np.r_[np.zeros(10), np.ones(10)]
    assert metrics.decile_error(y, np.r_[np.full(10, 0.1), np.ones(10)]) == pytest.approx(0.0)
    assert np.isnan(metrics.decile_error(np.zeros(10), np.ones(10)))


def test_intervals_by_hand():
    y, low, high = [0.0, 5.0, 10.0, 25.0], [0.0, 6.0, 5.0, 20.0], [1.0, 9.0, 15.0, 24.0]
    assert metrics.coverage(y, low, high) == 0.5
    assert metrics.width_ratio(y, low, high) == pytest.approx(4.5 / 10)


def test_multiclass_equals_scikit_learn():
    p = RNG.dirichlet([1, 2, 3], 300)
    truth = np.array([RNG.choice(3, p=row) for row in p])
    clipped = np.clip(p, 1e-4, None)
    clipped /= clipped.sum(axis=1, keepdims=True)
    expected = sk.log_loss(truth, clipped, labels=[0, 1, 2])
    assert metrics.multiclass_log_loss(truth, p) == pytest.approx(expected)
    assert metrics.multiclass_brier(truth, p) == pytest.approx(
        sk.brier_score_loss(truth, p, labels=[0, 1, 2], scale_by_half=False)
    )
    said = p.argmax(axis=1)
    assert metrics.macro_f1(truth, said) == pytest.approx(sk.f1_score(truth, said, average="macro"))


def test_macro_f1_leaves_out_rare_classes():
    truth = np.r_[np.zeros(30), np.ones(30), np.full(3, 2)]
    assert metrics.macro_f1(truth, np.r_[np.zeros(30), np.ones(30), np.zeros(3)]) == pytest.approx(
        (2 * 30 / 63 + 1) / 2
    )
    assert np.isnan(metrics.macro_f1([0, 1], [0, 1]))


def test_integrated_brier_by_hand():
    # One mover to destination 1 in period 2; one who stays.
    cif = np.array([[[0.1, 0.2], [0.1, 0.6]], [[0.0, 0.0], [0.2, 0.0]]])
    first = (0.1**2 + 0.2**2 + 0.3**2) + (0.1**2 + 0.4**2 + 0.3**2)
    second = 0.0 + (0.2**2 + 0.2**2)
    expected = (first + second) / 4
    assert metrics.integrated_brier(cif, [1, 0], [2, 0]) == pytest.approx(expected)


def test_certain_and_right_has_no_integrated_brier():
    cif = np.zeros((1, 3, 2))
    cif[0, 1:, 0] = 1.0
    assert metrics.integrated_brier(cif, [0], [2]) == 0.0


def test_movers_by_hand():
    p = np.array([[0.1, 0.3, 0.6], [0.5, 0.3, 0.0], [0.2, 0.7, 0.0]])
    assert metrics.top1_movers(p, [2, 1, 0], [3, 1, 0]) == 0.5
    moved_by = np.array([[0.1, 0.2, 0.4, 0.4], [0.0, 0.0, 0.0, 0.8], [0.3, 0.4, 0.5, 0.6]])
    # Medians 2, 4, 1; the third row did not move.
    assert metrics.median_time_mae(moved_by, [4, 4, 0]) == pytest.approx(1.0)
    assert np.isnan(metrics.top1_movers(p, [0, 0, 0], [0, 0, 0]))
    assert np.isnan(metrics.median_time_mae(moved_by, [0, 0, 0]))


@pytest.mark.parametrize("metric", [metrics.auc, metrics.lift_10])
def test_one_class_has_no_ranking(metric):
    assert np.isnan(metric(np.zeros(5), np.linspace(0, 1, 5)))


def test_missing_values_unequal_lengths_and_no_rows_are_refused():
    with pytest.raises(ValueError, match="missing"):
        metrics.auc([0, 1], [0.5, np.nan])
    with pytest.raises(ValueError, match="length"):
        metrics.mae([1, 2], [1.0])
    with pytest.raises(ValueError, match="at least one row"):
        metrics.ece([], [])


@settings(max_examples=tries(40), deadline=None)
@given(st.permutations(range(40)))
def test_no_metric_depends_on_the_order_of_rows(order):
    y, p = Y[:40], np.round(P[:40], 1)
    spend, guess = SPEND[:40], np.round(GUESS[:40], -1)
    for metric in (
        metrics.auc,
        metrics.log_loss,
        metrics.ece,
        metrics.lift_10,
    ):
        assert metric(y[order], p[order]) == pytest.approx(metric(y, p), abs=1e-12)
    for metric in (
        metrics.gini,
        metrics.decile_error,
        metrics.top10,
        metrics.spearman,
    ):
        shuffled = metric(spend[order], guess[order])
        assert shuffled == pytest.approx(metric(spend, guess), abs=1e-12)


def test_bootstrap_interval_is_seeded_and_holds_the_value():
    ids = np.arange(len(Y)).astype(str)
    first = metrics.bootstrap(metrics.auc, ids, Y, P, seed=5)
    assert first == metrics.bootstrap(metrics.auc, ids, Y, P, seed=5)
    assert first != metrics.bootstrap(metrics.auc, ids, Y, P, seed=6)
    assert first.low < first.value < first.high


def test_bootstrap_draws_customers_not_rows():
    once = metrics.bootstrap(lambda y: float(np.mean(y)), np.arange(200), Y[:200], seed=1)
    four_rows = np.repeat(np.arange(200), 4)
    more = metrics.bootstrap(lambda y: float(np.mean(y)), four_rows, np.repeat(Y[:200], 4), seed=1)
    assert more.high - more.low == pytest.approx(once.high - once.low, rel=0.05)


def test_paired_difference_is_narrower_than_its_sides():
    ids = np.arange(len(Y))
    worse = np.clip(P + RNG.normal(0, 0.05, len(P)), 0, 1)
    gain = metrics.paired_difference(metrics.auc, ids, Y, P, worse, seed=2)
    alone = metrics.bootstrap(metrics.auc, ids, Y, P, seed=2)
    assert gain.value == pytest.approx(metrics.auc(Y, P) - metrics.auc(Y, worse))
    assert gain.high - gain.low < alone.high - alone.low
