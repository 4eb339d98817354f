"""The Python package: what the page docs/python.md shows, against what the commands print."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import stagecast
from features.storage import scores_store
from flows.services.score_events import open_scorer
from tests.flows.shop import Shop
from tests.flows.shop import stagecast as command
from tests.page_blocks import all_blocks

PUBLIC = [name for name in stagecast.__all__ if name != "UserError"]


def printed(*arguments: str | Path) -> Any:
    done = command(*arguments, "--json", "-")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_less_than_twenty_names_and_each_is_typed_and_documented() -> None:
    assert len(stagecast.__all__) < 20
    assert sorted(stagecast.__all__) == stagecast.__all__
    for name in PUBLIC:
        public = getattr(stagecast, name)
        text = inspect.getdoc(public) or ""
        assert "Returns\n---" in text or "Attributes\n---" in text or "Raises\n---" in text, name
        if inspect.isfunction(public):
            signature = inspect.signature(public)
            assert signature.return_annotation is not inspect.Signature.empty, name
            annotations = [p.annotation for p in signature.parameters.values()]
            assert inspect.Parameter.empty not in annotations, name


def test_reading_imports_neither_mlflow_nor_prefect(shop: Shop) -> None:
    code = (
        "import sys, stagecast\n"
        "o = sys.argv[1]\n"
        "stagecast.scores(o); stagecast.audiences(o); stagecast.runs(o); stagecast.effects(o)\n"
        "stagecast.plan(o); stagecast.models(o); stagecast.features(o); stagecast.accuracy(o)\n"
        "stagecast.score(stagecast.scores(o).customer_id[0], o)\n"
        "print(sorted({'mlflow', 'prefect', 'lightgbm', 'sklearn', 'ibis'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, shop.output], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_scores_are_those_of_the_store_also_by_their_date(shop: Shop) -> None:
    scores = stagecast.scores(shop.output)
    with duckdb.connect(str(shop.output / "stagecast.duckdb"), read_only=True) as store:
        stored = store.sql("SELECT * FROM customer_scores ORDER BY customer_id").df()
    assert list(scores.columns) == list(stored.columns)
    assert list(scores["customer_id"]) == list(stored["customer_id"])
    assert_frame_equal(scores, stagecast.scores(shop.output, at="2021-03-01"))
    assert_frame_equal(scores, stagecast.scores(shop.output, at=pd.Timestamp("2021-03-01 14:00")))
    undescribed = set(scores.columns) - set(stagecast.score_columns()["name"])
    assert undescribed == {"preferred_brand", "preferred_brand_share", "preferred_brand_n"}


def test_one_customer(shop: Shop) -> None:
    scores = stagecast.scores(shop.output)
    row = stagecast.score("c0003", shop.output)
    (expected,) = scores[scores["customer_id"] == "c0003"].to_dict("records")
    assert row["p_churn"] == expected["p_churn"]
    assert row["stage"] == expected["stage"]
    history = stagecast.score_history("c0003", shop.output)
    assert list(history["snapshot_at"]) == [pd.Timestamp("2021-03-01")]
    assert history["clv"][0] == row["clv"]
    explained = stagecast.explain("c0003", shop.output)
    assert explained["reasons"]
    assert explained == printed("explain", "c0003", "--output", shop.output)


def test_audiences_and_their_plan(shop: Shop) -> None:
    everyone, plan = stagecast.audiences(shop.output), stagecast.plan(shop.output)
    stored = scores_store.read_current(shop.output).audience
    assert_frame_equal(everyone, stored, check_dtype=False)
    for row in plan.itertuples():
        members = stagecast.audiences(shop.output, campaign=row.campaign_id)
        assert len(members) == row.members
        assert (members["arm"] == "control").sum() == row.control
    assert_frame_equal(everyone, stagecast.audiences(shop.output, at="2021-03-01"))


def test_metrics_effects_accuracy_and_models_are_those_of_the_commands(shop: Shop) -> None:
    shown = printed("metrics", "--output", shop.output, "--every", "30", "--to", "2021-02-20")
    metrics = stagecast.metrics(shop.output, every=30, to="2021-02-20")
    assert list(metrics["metric"]) == [row["metric"] for row in shown["metrics"]]
    assert metrics["n"].tolist() == [row["n"] for row in shown["metrics"]]
    keys = set(stagecast.metric_definitions()["key"])
    assert set(metrics["key"].dropna()) <= keys == set(shown["definitions"])
    assert {"campaign_id", "difference", "low", "high"} <= set(stagecast.effects(shop.output))
    assert "measured_at" in stagecast.effects(shop.output, history=True)
    assert {"predicted", "actual"} <= set(stagecast.accuracy(shop.output))
    (version,) = stagecast.models(shop.output).itertuples()
    assert version.version == 1
    assert version.aliases == ("champion",)
    assert list(stagecast.runs(shop.output)["is_current"]) == [True]


def test_features_are_described_and_score_as_the_run_did(shop: Shop) -> None:
    features = stagecast.features(shop.output)
    assert set(features["snapshot_at"]) == {pd.Timestamp("2021-03-01")}
    described = set(stagecast.feature_columns(shop.output)["name"])
    assert set(features.columns) - described == {"customer_id", "snapshot_at"}
    scorer = stagecast.open_scorer(shop.output)
    rows = scorer.score_features(features).set_index("customer_id")
    scores = stagecast.scores(shop.output).set_index("customer_id")
    for column in ("stage", "p_churn", "clv", "next_stage", "p_move"):
        assert rows[column].equals(scores[column].loc[rows.index]), column


def test_events_of_a_frame_score_as_those_of_a_list(shop: Shop) -> None:
    scorer = stagecast.open_scorer(shop.output)
    assert str(scorer.snapshot_at) == "2021-03-01"
    at = pd.to_datetime(["2021-01-05 10:00", "2021-02-11 17:30"]).tz_localize("UTC")
    frame = pd.DataFrame(
        {"customer_id": "new", "event_type": "purchase", "occurred_at": at,
         "value": [12.5, 30.0], "order_id": ["a", float("nan")]}
    )  # fmt: skip
    events = [
        {"customer_id": "new", "event_type": "purchase", "order_id": "a", "value": 12.5,
         "occurred_at": "2021-01-05T10:00:00+00:00"},
        {"customer_id": "new", "event_type": "purchase", "value": 30.0,
         "occurred_at": "2021-02-11T17:30:00+00:00"},
    ]  # fmt: skip
    rows, expected = scorer.score_events(frame), open_scorer(shop.output).score(events)["scores"]
    assert rows.drop(columns="scored_at").to_dict("records") == (
        pd.DataFrame(expected).drop(columns="scored_at").to_dict("records")
    )


@pytest.mark.parametrize(
    ("call", "where"),
    [
        pytest.param(lambda o: stagecast.scores(o, at="2020-02-30"), "at", id="no date"),
        pytest.param(lambda o: stagecast.scores(o, at="2020-02-03"), "at", id="no run then"),
        pytest.param(lambda o: stagecast.score("unknown", o), "customer", id="no customer"),
        pytest.param(lambda o: stagecast.score_history("unknown", o), "customer", id="never"),
        pytest.param(lambda o: stagecast.explain("unknown", o), "customer", id="no reasons"),
        pytest.param(lambda o: stagecast.audiences(o, campaign="x"), "campaign", id="campaign"),
        pytest.param(lambda o: stagecast.features(o, at="1999-01-01"), "at", id="no features"),
        pytest.param(lambda o: stagecast.metrics(o, to="soon"), "to", id="no day"),
        pytest.param(lambda o: stagecast.metrics(o, every=0), "every", id="no days"),
        pytest.param(lambda o: stagecast.metrics(o, every="30"), "every", id="days as text"),
        pytest.param(lambda o: stagecast.metrics(o, every=True), "every", id="days as boolean"),
        pytest.param(lambda o: stagecast.audiences(o, campaign=["a"]), "campaign", id="campaigns"),
        pytest.param(lambda o: stagecast.scores(o, at=pd.NaT), "at", id="no moment"),
        pytest.param(lambda o: stagecast.scores(o, at=20210301), "at", id="date as number"),
        pytest.param(lambda o: stagecast.open_scorer(o, at="soon"), "at", id="no day to open"),
    ],
)
def test_what_is_not_there_is_refused_in_words(shop: Shop, call: Any, where: str) -> None:
    with pytest.raises(stagecast.UserError) as refused:
        call(shop.output)
    assert refused.value.where == where
    assert refused.value.expected


def test_a_scorer_opens_and_scores_at_text_dates_and_moments_alike(shop: Shop) -> None:
    moments = ("2021-03-01", "20210301", dt.date(2021, 3, 1), pd.Timestamp("2021-03-01 14:00"))
    scorers = [stagecast.open_scorer(shop.output, at=at) for at in moments]
    assert len({scorer.run_id for scorer in scorers}) == 1
    event = {
        "customer_id": "new",
        "event_type": "purchase",
        "occurred_at": "2021-01-05",
        "value": 1,
    }
    first, *others = [
        scorers[0].score_events([event], at=at).drop(columns="scored_at") for at in moments
    ]
    for other in others:
        assert_frame_equal(first, other)


@pytest.mark.parametrize("events", [None, "abc", b"abc", 5, {"customer_id": "a"}, [5], ["abc"]])
def test_what_is_no_list_of_events_is_refused_in_words(shop: Shop, events: Any) -> None:
    with pytest.raises(stagecast.UserError) as refused:
        stagecast.open_scorer(shop.output).score_events(events)
    assert refused.value.where.startswith("events")


@pytest.mark.parametrize("name", ["scores", "audiences", "plan", "open_scorer", "features",
                                  "metrics", "feature_columns", "effects", "accuracy",
                                  "runs"])  # fmt: skip
def test_a_folder_without_a_run_is_refused_and_stays_as_it_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(stagecast.UserError):
        getattr(stagecast, name)(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_page_s_code_runs(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "docs/python.md"
    blocks = [b for b in all_blocks() if b.page == page and b.language == "python"]
    assert blocks
    (tmp_path / "my-shop").symlink_to(shop.output)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block.text, block.name, "exec"), names)
    text = "\n".join(block.text for block in blocks)
    assert [name for name in PUBLIC if f"stagecast.{name}(" not in text and name != "Scorer"] == []
