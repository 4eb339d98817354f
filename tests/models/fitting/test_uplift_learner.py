from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.fitting import uplift_learner
from models.fitting.uplift_curves import compare_rankings, evaluate_ranking, share_better, true_qini
from models.fitting.uplift_learner import Experiment, encode_covariates, fit_effect, person_folds
from models.scorer.part import Part
from models.scorer.uplift import uplift_effect


def experiment(n: int, seed: int, *, effect: float = 0.15) -> tuple[Experiment, np.ndarray]:
    """A send that helps the young in towns and the old elsewhere, and its true effects."""
    rng = np.random.default_rng(seed)
    age, town = rng.normal(0, 1, n), rng.choice([-1.0, 1.0], n)
    risk = rng.uniform(0, 1, n)
    true = effect * np.tanh(age) * town
    treatment = (rng.random(n) < 0.5).astype(float)
    chance = np.clip(0.15 + 0.3 * risk + true * treatment, 0.01, 0.99)
    covariates = pd.DataFrame({"age": age, "town": town, "risk": risk, "noise": rng.random(n)})
    covariates.loc[rng.random(n) < 0.05, "age"] = np.nan
    outcome = (rng.random(n) < chance).astype(float)
    return (
        Experiment(covariates, treatment, outcome, np.full(n, 0.5), np.arange(n)),
        true,
    )


def test_the_model_finds_whom_the_message_moves_and_risk_does_not() -> None:
    train, _ = experiment(8000, 1)
    test, true = experiment(8000, 2)
    part = fit_effect(train, seed=3)
    found = uplift_effect(part, test.covariates)
    best = true_qini(true, true)
    assert true_qini(found, true) > 0.7 * best
    assert abs(true_qini(test.covariates["risk"].to_numpy(), true)) < 0.1 * best
    rankings = {"uplift": found, "risk": test.covariates["risk"].to_numpy()}
    seen = compare_rankings(rankings, test, seed=4, draws=50)
    assert seen["uplift"].low > 0
    assert seen["uplift"].qini > seen["risk"].qini
    assert seen["random"].low < 0 < seen["random"].high
    assert seen["uplift"].at_shares[0.3] > seen["risk"].at_shares[0.3]
    assert share_better(found, rankings["risk"], test, seed=5, draws=40) > 0.95


def test_no_effect_gives_everyone_about_the_same() -> None:
    data, _ = experiment(4000, 7, effect=0.0)
    part = fit_effect(data, seed=3)
    assert uplift_effect(part, data.covariates).std() < 0.02


def test_the_stored_model_predicts_the_same_row_by_row(tmp_path: Path) -> None:
    data, _ = experiment(2000, 5)
    part = fit_effect(data, seed=3)
    part.save(tmp_path)
    rows = data.covariates.sample(50, random_state=1)
    again = uplift_effect(Part.load(tmp_path), rows[rows.columns[::-1]])
    assert np.abs(again - uplift_effect(part, rows)).max() < 1e-12
    one = [uplift_effect(part, rows.iloc[[i]])[0] for i in range(5)]
    assert np.abs(np.array(one) - again[:5]).max() < 1e-12


def test_the_gain_of_everyone_is_the_mean_effect() -> None:
    data, _ = experiment(5000, 9)
    found = evaluate_ranking(data.covariates["noise"].to_numpy(), data, seed=1, draws=10)
    arm = data.treatment > 0.5
    naive = data.outcome[arm].mean() - data.outcome[~arm].mean()
    assert found.curve.gain[-1] == pytest.approx(naive, abs=0.002)
    assert found.curve.gain[0] == 0


def test_people_are_never_in_two_folds() -> None:
    groups = np.repeat(np.arange(100), 3)
    fold = person_folds(groups, seed=1)
    assert all(len(set(fold[groups == person])) == 1 for person in range(100))
    assert set(fold) == set(range(uplift_learner.UPLIFT_FOLDS))


def test_texts_keep_their_codes_and_new_ones_are_missing() -> None:
    codes: dict[str, list[str]] = {}
    first = encode_covariates(
        pd.DataFrame({"a": ["x", "z", None], "b": [1, 2, 3]}), ["a", "b"], codes
    )
    assert first["a"].tolist()[:2] == [0.0, 1.0]
    later = encode_covariates(pd.DataFrame({"a": ["z", "new"], "b": [1, 2]}), ["a", "b"], codes)
    assert later["a"].iloc[0] == 1.0
    assert np.isnan(later["a"].iloc[1])


def test_an_empty_arm_is_refused() -> None:
    data, _ = experiment(100, 1)
    with pytest.raises(ValueError, match="both arms"):
        fit_effect(replace(data, treatment=np.ones(100)), seed=1)
