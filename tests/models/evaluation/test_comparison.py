"""Comparison of two methods by customer, several hypotheses at once, and levels of looks."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from models.evaluation.comparison import (
    ALPHA,
    Comparison,
    baseline_sentences,
    best_baselines,
    compare_losses,
    holm,
    level_of_look,
    read_comparisons,
)


def losses(customers: int, snapshots: int, seed: int = 1):
    """Losses of two equal methods with differences that belong to the customer."""
    random = np.random.default_rng(seed)
    own = random.normal(0, 0.2, customers)
    ids = np.tile(np.arange(customers), snapshots)
    first = random.gamma(1.0, 0.5, customers * snapshots)
    second = first + own[ids] + random.normal(0, 0.05, customers * snapshots)
    return ids, first, second


def test_the_error_is_that_of_customers_drawn_again():
    ids, first, second = losses(300, 3)
    keep = np.random.default_rng(2).random(len(ids)) < 0.7  # not everyone is at every snapshot
    ids, first, second = ids[keep], first[keep], second[keep]
    comparison = compare_losses("churn", "log_loss", ids, first, second, snapshots=3)
    random, rows = np.random.default_rng(3), [np.flatnonzero(ids == each) for each in range(300)]
    drawn = []
    for _ in range(2000):
        taken = np.concatenate([rows[each] for each in random.integers(0, 300, 300)])
        drawn.append(np.mean(first[taken]) - np.mean(second[taken]))
    assert comparison.standard_error == pytest.approx(np.std(drawn), rel=0.05)
    assert comparison.difference == pytest.approx(np.mean(first) - np.mean(second))
    assert (comparison.customers, comparison.snapshots) == (len(set(ids)), 3)
    assert comparison.low < comparison.difference < comparison.high


def test_snapshots_that_repeat_customers_bring_no_false_certainty():
    ids, first, second = losses(300, 1)
    once = compare_losses("churn", "log_loss", ids, first, second)
    four = compare_losses(
        "churn", "log_loss", np.tile(ids, 4), np.tile(first, 4), np.tile(second, 4), snapshots=4
    )
    assert four.standard_error == pytest.approx(once.standard_error)


def test_the_order_of_rows_and_ids_does_not_matter():
    ids, first, second = losses(50, 2)
    order = np.random.default_rng(5).permutation(len(ids))
    plain = compare_losses("clv", "tweedie", ids, first, second)
    mixed = compare_losses("clv", "tweedie", ids[order].astype(str), first[order], second[order])
    assert asdict(mixed) == pytest.approx(asdict(plain), nan_ok=False)


@pytest.mark.parametrize("customers", [0, 1], ids=["nobody", "one customer"])
def test_too_few_customers_prove_nothing(customers):
    ids = np.zeros(max(customers, 1), dtype=int)
    comparison = compare_losses("churn", "log_loss", ids, ids + 1.0, ids + 0.5)
    assert (comparison.low, comparison.standard_error) == (None, None)
    assert comparison.not_worse
    assert (comparison.p_better, comparison.p_worse) == (1.0, 1.0)
    assert not comparison.baseline_is_better


def test_equal_losses_are_not_worse_and_not_better():
    ids, first, _ = losses(50, 1)
    comparison = compare_losses("churn", "log_loss", ids, first, first)
    assert comparison.not_worse
    assert (comparison.p_better, comparison.p_worse) == (1.0, 1.0)


def compared(difference: float, error: float, loss: float = 0.5, **changes) -> Comparison:
    settings = {"standard_error": error, "customers": 10_000, **changes}
    reach = 1.96 * error
    return Comparison(
        "churn", "log_loss", loss + difference, loss, difference - reach, difference + reach,
        **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("difference", "error", "passes"),
    [
        pytest.param(0.0, 0.0001, True, id="equal, many customers"),
        pytest.param(0.0, 0.05, True, id="equal, few customers"),
        pytest.param(0.0095, 0.0001, True, id="worse by less than 2 percent"),
        pytest.param(0.0110, 0.0001, False, id="worse by more than 2 percent"),
        pytest.param(0.0200, 0.0100, True, id="worse by two errors, few customers"),
        pytest.param(0.0260, 0.0100, False, id="worse by two and a half errors, few customers"),
        pytest.param(-0.1, 0.0100, True, id="better"),
    ],
)
def test_the_margin_is_two_percent_or_four_standard_errors(difference, error, passes):
    assert compared(difference, error).not_worse is passes


@pytest.mark.parametrize(
    ("p_values", "refused"),
    [
        ({"a": 0.02, "b": 0.9}, ["a"]),
        ({"a": 0.03, "b": 0.9}, []),
        ({"a": 0.04, "b": 0.02}, ["b", "a"]),
        ({"a": 0.04, "b": 0.03}, []),
        ({"a": 0.04}, ["a"]),
        ({}, []),
    ],
    ids=["half of the level", "above half", "the last at the full level", "none", "alone", "empty"],
)
def test_holm_refuses_in_the_order_of_the_p_values(p_values, refused):
    assert holm(p_values, 0.05) == refused


def test_levels_of_all_looks_sum_to_alpha():
    levels = [level_of_look(look) for look in range(1, 10_001)]
    assert levels == sorted(levels, reverse=True)
    assert sum(levels) < ALPHA
    assert sum(levels) == pytest.approx(ALPHA, rel=0.001)


def test_the_best_baseline_is_named_with_both_figures_where_it_is_better():
    rows = [
        compared(0.02, 0.001, loss=0.48, against="bg_nbd"),
        compared(-0.1, 0.001, loss=0.6, against="mean"),
        compared(0.004, 0.001, loss=0.5, against="rfm"),
    ]
    (best,) = best_baselines(rows)
    assert best.against == "bg_nbd"
    (sentence,) = baseline_sentences([best])
    assert "bg_nbd" in sentence
    assert "0.4800 against 0.5000" in sentence
    assert baseline_sentences(rows[1:]) == []  # worse, or by less than a percent
    assert baseline_sentences([compared(0.02, 0.02, against="by chance")]) == []
    assert read_comparisons([asdict(row) for row in rows]) == rows
