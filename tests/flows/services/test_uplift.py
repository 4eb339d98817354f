"""A randomised send from a CSV to a report, a model and curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from features.errors import UserError
from flows.services.uplift import run_uplift
from models.fitting.uplift_learner import encode_covariates
from models.scorer.part import Part
from models.scorer.uplift import uplift_effect


def written(folder: Path, n: int = 3000, **changes: Any) -> str:
    rng = np.random.default_rng(3)
    town = rng.choice(["north", "south"], n)
    age = rng.normal(40, 10, n)
    treated = rng.integers(0, 2, n)
    effect = np.where(town == "north", 0.15, -0.05)
    bought = (rng.random(n) < 0.2 + treated * effect).astype(int)
    frame = pd.DataFrame(
        {"who": np.arange(n), "town": town, "age": age, "sent": treated, "bought": bought}
    )
    frame["risk"] = np.where(rng.random(n) < 0.1, np.nan, rng.random(n))
    frame.to_csv(folder / "send.csv", index=False)
    content = {
        "name": "spring",
        "table": "send.csv",
        "customer_id": "who",
        "treatment": "sent",
        "outcome": "bought",
        "covariates": ["town", "age"],
        "compare": {"risk": "risk"},
        **changes,
    }
    path = folder / "spring.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def test_the_report_the_model_and_the_curves(tmp_path: Path) -> None:
    report = run_uplift(written(tmp_path), tmp_path / "out")
    folder = tmp_path / "out" / "uplift" / "spring"
    assert report.lift.low < 0.05 < report.lift.high
    assert report.sample_ratio_p > 0.001
    assert report.rankings["uplift"].low > 0
    assert report.beats["risk"] > 0.9
    told = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(told["rankings"]) == {"uplift", "risk", "random"}
    assert (folder / "curves.png").stat().st_size > 10_000
    assert len(pd.read_csv(folder / "out_of_fold.csv")) == 3000
    part = Part.load(folder / "model")
    people = pd.DataFrame({"town": ["north", "south"], "age": [40.0, 40.0]})
    effect = uplift_effect(
        part, encode_covariates(people, ["town", "age"], part.parameters["codes"])
    )
    assert effect[0] > 0.08 > 0.02 > effect[1]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"covariates": ["bought"]}, ["bought", "not known before"]),
        ({"treatment": "age", "covariates": ["town"]}, ["treatment", "0 and 1"]),
        ({"outcome": "town", "covariates": ["age"]}, ["town", "no numbers"]),
        ({"covariates": ["towm"]}, ["towm", "town"]),
        ({"propensity": 1.5}, ["propensity"]),
        ({"outcom": "bought"}, ["outcom", "unknown key"]),
        ({"where": {"town": "west"}}, ["0 rows"]),
    ],
)
def test_slips_are_told(tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        run_uplift(written(tmp_path, 200, **changes), tmp_path / "out")
    for part in parts:
        assert part in str(caught.value)
