"""The user's path on Spark: features and scores from the command line, equal to those without."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from features.storage import scores_store
from features.storage.runs import run_folder
from tests.flows.shop import stagecast, write_shop

pytestmark = pytest.mark.spark
STAMPS = ["run_id", "scored_at"]


def scores(output: Path) -> pd.DataFrame:
    return scores_store.read_current(output).scores.drop(columns=STAMPS)


def test_features_and_scores_on_spark_are_those_of_one_machine(tmp_path: Path) -> None:
    config, own, spark = write_shop(tmp_path), tmp_path / "own", tmp_path / "spark"
    ran = stagecast("run", "--config", config, "--output", own)
    assert ran.returncode == 0, ran.stderr
    # The same registry, and nothing else of what the run left.
    shutil.copytree(own, spark)
    for name in ("features", "runs"):
        shutil.rmtree(spark / name)
    (spark / scores_store.STORE_FILE).unlink()

    built = stagecast("features", "--config", config, "--output", spark, "--set", "engine=spark")
    assert built.returncode == 0, built.stderr
    assert "Traceback" not in built.stderr
    names = sorted(p.parent.name for p in own.glob("features/snapshots/*/features.parquet"))
    there = sorted(p.parent.name for p in spark.glob("features/snapshots/*/features.parquet"))
    assert set(there) <= set(names)
    assert len(there) > 5
    for name in there:
        one, other = (
            pd.read_parquet(folder / "features/snapshots" / name / "features.parquet").sort_values(
                "customer_id", ignore_index=True
            )
            for folder in (own, spark)
        )
        pd.testing.assert_frame_equal(
            one, other, check_exact=False, rtol=1e-9, atol=0, check_dtype=False
        )

    scored = stagecast("score", "--output", spark)
    assert scored.returncode == 0, scored.stderr
    one, other = scores(own), scores(spark)
    assert len(one) > 100
    assert list(one.columns) == list(other.columns)
    assert dict(one.dtypes) == dict(other.dtypes)
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-9, atol=1e-12)

    run = scores_store.read_current(spark).run
    folder = run_folder(spark, run.run_id)
    assert len(list((folder / "scores").glob("*.parquet"))) >= 1
    # What a single customer is scored with later is stored as well.
    context = json.loads((folder / "scoring_context.json").read_text(encoding="utf-8"))
    assert {"everybody", "definition"} <= set(context)
    again = stagecast("score", "--output", spark)
    assert again.returncode == 0, again.stderr
    assert "no new event files" in again.stdout + again.stderr
