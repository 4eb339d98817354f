"""Effects of several offers, from draws that prefer an offer for some people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.fitting.offer_effects import (
    OfferExperiment,
    fit_offer_effects,
    noisy_offer_effects,
)
from models.scorer.uplift import uplift_effect

OFFERS = ("note", "code")


def drawn(count: int, seed: int, *, effect: float = 0.15) -> tuple[OfferExperiment, np.ndarray]:
    """Decisions that mostly send the code to people of a large trait, and the true effects.

    The trait raises the response to nothing, too: without the logged chances the code would look
    better than it is. The note helps people of a small trait, and nobody of age 0 can get the code.
    """
    rng = np.random.default_rng(seed)
    trait, other = rng.uniform(-1, 1, (2, count))
    truth = np.column_stack([0.05 - effect * trait, 0.1 + 0.05 * np.sign(trait)])
    prefers_code = 1 / (1 + np.exp(-3 * trait))
    chances = np.column_stack([np.full(count, 0.3), 0.7 * (1 - prefers_code), 0.7 * prefers_code])
    young = rng.random(count) < 0.1
    chances[young, 1] += chances[young, 2]
    chances[young, 2] = 0.0
    offer = (chances.cumsum(axis=1)[:, :-1] <= rng.random((count, 1))).sum(axis=1)
    added = np.column_stack([np.zeros(count), truth])[np.arange(count), offer]
    outcome = (rng.random(count) < 0.4 + 0.2 * trait + added).astype(float)
    covariates = pd.DataFrame({"trait": trait, "other": other, "young": young.astype(float)})
    groups = np.arange(count) // 2
    return OfferExperiment(covariates, OFFERS, offer.astype(float), outcome, chances, groups), truth


def test_noisy_effects_are_unbiased_though_the_draws_prefer_offers() -> None:
    experiment, truth = drawn(20_000, 1)
    effects, weights = noisy_offer_effects(experiment, seed=1)
    assert (weights[experiment.chances[:, 1:] == 0] == 0).all()
    for number in range(2):
        rows = weights[:, number] > 0
        error = effects[rows, number] - truth[rows, number]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(rows.sum())
    # The plain difference of means is far off.
    code, nothing = (experiment.outcome[experiment.offer == k].mean() for k in (2, 0))
    assert abs(code - nothing - truth[:, 1].mean()) > 0.04


def test_the_learned_effects_tell_who_gains_by_which_offer() -> None:
    experiment, _ = drawn(12_000, 2)
    learned = fit_offer_effects(experiment, seed=1)
    fresh, truth = drawn(4_000, 3)
    effects = np.column_stack([uplift_effect(learned[n].part, fresh.covariates) for n in OFFERS])
    assert np.corrcoef(effects[:, 0], truth[:, 0])[0, 1] > 0.85
    chosen = np.argmax(np.column_stack([np.zeros(len(effects)), effects]), axis=1)
    gain = np.column_stack([np.zeros(len(effects)), truth])
    reached = gain[np.arange(len(gain)), chosen].mean()
    best_single = truth.mean(axis=0).max()
    assert reached > best_single + 0.5 * (gain.max(axis=1).mean() - best_single)
    for number, name in enumerate(OFFERS):
        effect = learned[name]
        assert effect.low < effect.mean < effect.high
        assert effect.people == (experiment.offer == number + 1).sum()
        can_get = experiment.chances[:, number + 1] > 0
        assert (np.isnan(effect.noisy_effects) == ~can_get).all()
        assert np.isfinite(effect.out_of_fold).all()


def test_where_data_are_few_everybody_has_about_the_mean_effect() -> None:
    experiment, _ = drawn(400, 4, effect=0.0)
    learned = fit_offer_effects(experiment, seed=1)["note"]
    effects = uplift_effect(learned.part, experiment.covariates)
    assert np.std(effects) < 0.05
    assert abs(effects.mean() - learned.mean) < 0.05


def test_the_same_seed_gives_the_same_effects() -> None:
    experiment, _ = drawn(1_500, 5)
    first, again = (fit_offer_effects(experiment, seed=3) for _ in range(2))
    for name in OFFERS:
        assert first[name].part.parameters == again[name].part.parameters
        assert (first[name].out_of_fold == again[name].out_of_fold).all()


def test_an_offer_that_nobody_got_is_refused() -> None:
    experiment, _ = drawn(300, 6)
    without = experiment.take(np.flatnonzero(experiment.offer != 2))
    with pytest.raises(ValueError, match="every offer, and nothing, needs people"):
        fit_offer_effects(without, seed=1)
