"""The uplift part of the scorer: told where it was learned, and only as far as it is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.contracts import SCORED_ROW
from models.fitting.offer_effects import OfferExperiment
from models.fitting.uplift_learner import Experiment
from models.scorer.part import Part
from models.scorer.predict import predict_scores
from models.scorer.uplift import uplift_rows
from models.tasks.uplift import (
    OfferHistory,
    SendHistory,
    fit_uplift,
    shortage,
    uplift_summary,
    with_enough_data,
)


def history(name: str, *, effect: float, mean: float, n: int = 3000, seed: int = 1) -> SendHistory:
    """A send that helps some and puts off others, among people of the stages 1 and 2."""
    rng = np.random.default_rng(seed)
    columns = {f"noise__{number}": rng.normal(0, 1, n) for number in range(45)}
    columns["orders__count_30d"] = rng.normal(0, 1, n)
    stage = rng.choice([1.0, 2.0], n)
    frame = pd.DataFrame({**columns, "stage__code": stage})
    treatment = (rng.random(n) < 0.5).astype(float)
    true = mean + effect * np.tanh(frame["orders__count_30d"].to_numpy())
    outcome = (rng.random(n) < np.clip(0.3 + true * treatment, 0, 1)).astype(float)
    data = Experiment(frame, treatment, outcome, np.full(n, 0.5), np.arange(n))
    return SendHistory(name, (name, "other_too") if name == "first" else (name,), data, stage)


HISTORIES = [
    history("first", effect=0.25, mean=0.05),
    history("second", effect=0.0, mean=0.15, seed=2),
    history("third", effect=0.0, mean=0.0, seed=3),
]


@pytest.fixture(scope="module")
def part() -> Part:
    return fit_uplift(HISTORIES, seed=5)


def test_the_effect_is_told_by_campaign_in_the_stages_that_were_seen(
    part: Part, tmp_path: Path
) -> None:
    found = uplift_summary(part).set_index("model")
    assert found["ranks"].to_dict() == {"first": True, "second": False, "third": False}
    assert found["known"].to_dict() == {"first": True, "second": True, "third": False}
    part.save(tmp_path)
    rows = HISTORIES[0].experiment.covariates.head(300).copy()
    rows.loc[rows.index[:10], "stage__code"] = 0.0
    texts = uplift_rows(Part.load(tmp_path), rows)
    assert texts[:10] == [None] * 10
    known = pd.DataFrame([json.loads(str(text)) for text in texts[10:]])
    assert set(known) == {"first", "other_too", "second"}
    assert (known["first"] == known["other_too"]).all()
    active = rows["orders__count_30d"].to_numpy()[10:]
    assert np.corrcoef(known["first"], np.tanh(active))[0, 1] > 0.9
    assert known["second"].nunique() == 1
    assert abs(known["second"].iloc[0] - 0.15) < 0.05
    # Row by row the same: nothing depends on who else is scored.
    assert [uplift_rows(part, rows.iloc[[i]])[0] for i in (0, 50, 299)] == [
        texts[i] for i in (0, 50, 299)
    ]


def test_small_histories_wait() -> None:
    small = history("first", effect=0.2, mean=0.1, n=300)
    assert "500 of each are needed" in shortage(small)
    assert shortage(history("first", effect=0.2, mean=0.1, n=1500)) == ""
    nobody = history("first", effect=0.0, mean=0.0, n=1500)
    none = nobody.experiment.outcome * 0
    quiet = Experiment(
        nobody.experiment.covariates, nobody.experiment.treatment, none,
        nobody.experiment.propensity, nobody.experiment.groups,
    )  # fmt: skip
    assert "responses" in shortage(SendHistory("first", ("first",), quiet, nobody.stage))


def test_a_registered_part_gives_its_column_beside_the_keys(part: Part) -> None:
    learned = HISTORIES[0]
    frame = learned.experiment.covariates.head(4).assign(
        customer_id=list("abcd"), snapshot_at=pd.Timestamp("2024-01-01")
    )
    head = {
        "stages": ["zero", "one", "two"],
        "features": [{"name": name} for name in learned.experiment.covariates],
        "scored_row": {column.name: column.dtype for column in SCORED_ROW},
        "pass_through": [],
        "training_context": {},
        "lapsed_stage": None,
    }
    rows = predict_scores({"uplift": part}, frame, {}, head)
    assert list(rows.columns) == ["customer_id", "snapshot_at", "stage", "uplift"]
    assert rows["uplift"].tolist() == uplift_rows(part, frame)


def offers(n: int = 6000, *, few: bool = False, seed: int = 7) -> OfferHistory:
    """Waves with nothing, a note that changes little, and a code that some respond to."""
    rng = np.random.default_rng(seed)
    shares = np.array([0.4, 0.58, 0.02] if few else [0.3, 0.35, 0.35])
    frame = pd.DataFrame({"orders__count_30d": rng.normal(0, 1, n)})
    frame["stage__code"] = rng.choice([1.0, 2.0], n)
    offer = rng.choice(3, n, p=shares)
    code = 0.15 + 0.2 * np.tanh(frame["orders__count_30d"].to_numpy())
    outcome = (rng.random(n) < 0.3 + np.where(offer == 2, code, 0.01 * (offer == 1))).astype(float)
    experiment = OfferExperiment(
        frame, ("note", "code"), offer.astype(float), outcome, np.tile(shares, (n, 1)), np.arange(n)
    )
    names = {"note": "note@next", "code": "code@next"}
    return OfferHistory("next", names, experiment, frame["stage__code"].to_numpy())


def test_every_offer_has_its_own_effect_in_the_scores(tmp_path: Path) -> None:
    history_of_offers, reason = with_enough_data(offers())
    assert reason == ""
    assert history_of_offers is not None
    part = fit_uplift([], [history_of_offers], seed=5)
    part.save(tmp_path)
    frame = history_of_offers.experiment.covariates
    assert len(frame) > 4096  # enough for the fast trees, with or without trees
    texts = uplift_rows(Part.load(tmp_path), frame)
    known = pd.DataFrame([json.loads(str(text)) for text in texts])
    assert set(known) == {"note@next", "code@next", "note@next error", "code@next error"}
    error = known["code@next error"].unique()
    assert len(error) == 1
    missed = known["code@next"] - (0.15 + 0.2 * np.tanh(frame["orders__count_30d"]))
    # Within a factor of three of what the predictions really miss.
    assert 1 / 3 < error[0] / float(np.sqrt((missed**2).mean())) < 3
    true = 0.15 + 0.2 * np.tanh(frame["orders__count_30d"])
    assert np.corrcoef(known["code@next"], true)[0, 1] > 0.8
    summary = uplift_summary(part).set_index("model")
    assert summary.loc["code@next", "mean_low"] < 0.15 < summary.loc["code@next", "mean_high"]
    assert summary.loc["code@next", "qini_low"] > 0


def test_an_offer_of_few_people_is_left_out_and_the_others_are_learned() -> None:
    history_of_offers, reason = with_enough_data(offers(few=True))
    assert "code 1" in reason
    assert "200 of each are needed" in reason
    assert history_of_offers is not None
    experiment = history_of_offers.experiment
    assert experiment.offers == ("note",)
    assert set(experiment.offer) == {0.0, 1.0}
    assert experiment.chances.sum(axis=1) == pytest.approx(1.0)
    assert experiment.chances[0] == pytest.approx([0.4 / 0.98, 0.58 / 0.98])
    assert len(history_of_offers.stage) == len(experiment.outcome)


def test_offers_in_numbers_that_contradict_their_chances_are_not_learned() -> None:
    given = offers()
    wrong = np.tile([0.3, 0.5, 0.2], (len(given.stage), 1))
    changed = OfferHistory(
        "next", given.effect_names, replace(given.experiment, chances=wrong), given.stage
    )
    assert with_enough_data(changed) == (
        None, "the numbers of the offers contradict the logged probabilities",
    )  # fmt: skip
    small, reason = with_enough_data(offers(n=900))
    assert small is None
    assert "got nothing: 500 are needed" in reason
