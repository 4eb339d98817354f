from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campaigns.experiment_effects import experiment_effects, read_experiment
from features.errors import UserError


def experiment(tmp_path: Path, people: int = 6000) -> Path:
    rng = np.random.default_rng(1)
    arm = rng.choice(["control", "a", "b"], people)
    before = rng.gamma(2, 20, people)
    frame = pd.DataFrame(
        {
            "customer_id": np.arange(people),
            "arm": arm,
            "outcome": before + rng.gamma(2, 5, people) + 3 * (arm == "b"),
            "before": before,
            "entered_at": rng.choice(["2024-01-01", "2024-01-08"], people),
        }
    )
    file = tmp_path / "experiment.csv"
    frame.to_csv(file, index=False)
    return file


def test_every_arm_is_compared_with_the_control_arm(tmp_path: Path) -> None:
    people = read_experiment(experiment(tmp_path), control="control")
    effects = experiment_effects(people, control="control", seed=1).set_index("arm")
    assert list(effects["answer"]) == ["not yet", "gain"]
    assert effects.loc["b", "low"] < 3 < effects.loc["b", "high"]
    assert (effects["variance_left"] < 0.2).all()
    assert effects["sample_ratio_p"].isna().all()
    shares = people.assign(outcome=(people["outcome"] > 50).astype(int), control_share=0.5)
    tested = experiment_effects(shares, control="control", seed=1).set_index("arm")
    assert (tested["variance_left"] == 1).all()
    assert (tested["sample_ratio_p"] > 0.001).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arm,money\na,1\n", "no column outcome"),
        ("arm,outcome\na,yes\n", "text"),
        ("arm,outcome\na,1\nb,2\n", "--control"),
        ("", "header"),
    ],
)
def test_a_file_that_cannot_be_measured_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "experiment.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_experiment(file, control="control")
