"""Every question with every choice: right numbers, groups that are large enough, and no person."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.config.store_location import VARIABLE
from features.errors import UserError
from features.metrics.stage_metrics import FEWEST
from features.storage.result_tables import CAMPAIGN_EFFECTS, PREDICTION_ACCURACY, write_results
from features.storage.scores_store import STORE_FILE, read_current
from flows.assistant.questions import Answers, Question
from flows.services.life_cycle_metrics import stage_metrics
from tests.flows.assistant.crowd import CUSTOMERS, publish_crowd
from tests.flows.shop import Shop

COUNTS = ("customers", "n", "eligible", "members", "people_treatment", "people_control")


@pytest.fixture(scope="module")
def output(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        yield publish_crowd(shop.output, tmp_path_factory.mktemp("crowd"))


@pytest.fixture(scope="module")
def answers(output: Path) -> Answers:
    return Answers(output)


def named(answers: Answers, name: str) -> Question:
    (question,) = (q for q in answers.questions() if q.name == name)
    return question


def every_call(answers: Answers) -> Iterator[tuple[str, dict[str, str]]]:
    """All calls that have an answer."""
    for question in answers.questions():
        values = [(None, *choices) for choices in question.choices.values()]
        for chosen in product(*values):
            pairs = zip(question.choices, chosen, strict=True)
            yield question.name, {name: value for name, value in pairs if value is not None}


def counts_in(content: Any) -> Iterator[Any]:
    """Every number of persons anywhere in an answer."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name in COUNTS or (name in ("treatment", "control") and "members" in content):
                yield value
            yield from counts_in(value)
    elif isinstance(content, list):
        for item in content:
            yield from counts_in(item)


def test_no_answer_names_a_customer_or_counts_less_than_thirty(
    output: Path, answers: Answers, shop: Shop
) -> None:
    keys = {*read_current(output).scores["customer_id"], *read_current(shop.output).scores[
        "customer_id"]}  # fmt: skip
    calls, counts = 0, 0
    for name, arguments in every_call(answers):
        try:
            content = named(answers, name).answer(**arguments)
        except UserError:
            continue
        calls += 1
        text = json.dumps(content)
        assert not keys & set(re.findall(r"[\w-]+", text)), (name, arguments)
        assert str(output.parent) not in text
        for count in counts_in(content):
            counts += 1
            assert count is None or (count >= FEWEST and count % FEWEST == 0), (name, arguments)
    assert calls > 150
    assert counts > 500


def test_counts_and_means_are_those_of_the_scores(output: Path, answers: Answers) -> None:
    scores = read_current(output).scores
    sizes = named(answers, "stage_counts").answer()
    assert abs(sizes["customers"] - CUSTOMERS) <= FEWEST / 2
    actual = scores["stage"].value_counts()
    for row in sizes["stages"]:
        if row["customers"] is not None:
            assert abs(row["customers"] - actual[row["stage"]]) <= FEWEST / 2
    shown = {row["stage"] for row in sizes["stages"] if row["customers"] is not None}
    # The twelve of loyalty would follow from the total, so the next larger stage is hidden, too.
    assert shown == {"lapsed", "retention"}
    forecast = named(answers, "forecast").answer(by="value_tier")
    for row in forecast["groups"]:
        of_group = scores[scores["value_tier"] == row["group"]]
        assert row["clv"] == pytest.approx(of_group["clv"].mean(), rel=0.05)
        assert row["p_churn"] == pytest.approx(of_group["p_churn"].mean(), rel=0.05)
        assert row["expected_spend"] == pytest.approx(of_group["clv"].sum(), rel=0.12)
    assert forecast["all"]["clv"] == pytest.approx(scores["clv"].mean(), rel=0.05)


def test_metrics_are_those_of_the_command_rounded(output: Path, answers: Answers) -> None:
    table = stage_metrics(output, first=None, to=None, every=None)
    plain = {
        (str(row.period_start)[:7], row.stage if isinstance(row.stage, str) else None, row.key): row
        for row in table.itertuples()
        if row.key is not None and not isinstance(row.source, str)
    }
    shown = 0
    for stage in (None, "lapsed", "retention"):
        for row in named(answers, "stage_metrics").answer(stage=stage):
            expected = plain[row["month"], stage, row["metric"]]
            assert (row["n"] is None) or abs(row["n"] - expected.n) <= FEWEST / 2
            if row["value"] is not None:
                shown += 1
                assert row["value"] == pytest.approx(expected.value, rel=0.05)
                assert expected.n >= FEWEST
                if row["unit"] == "share":
                    did = round(expected.value * expected.n)
                    assert min(did, expected.n - did) >= FEWEST
    assert shown > 25


def test_groups_that_differ_from_others_by_one_person_are_left_out(answers: Answers) -> None:
    by_stage = named(answers, "forecast").answer(by="stage")["groups"]
    assert {row["group"] for row in by_stage if row["clv"] is not None} == {"lapsed", "retention"}
    by_band = named(answers, "forecast").answer(by="churn_band")["groups"]
    assert {row["group"] for row in by_band} == {"high", "low"}
    for row in by_band:
        assert {row[name] for name in ("customers", "p_churn", "clv", "expected_spend")} == {None}


def test_a_mean_that_one_person_makes_is_hidden(shop: Shop, tmp_path: Path) -> None:
    output = publish_crowd(shop.output, tmp_path)
    file = output / "runs" / "crowd" / "scores.parquet"
    scores = pd.read_parquet(file)
    rich = scores.index[scores["value_tier"] == "top"][0]
    scores.loc[rich, "clv"] = 10 * scores["clv"].sum()
    scores.to_parquet(file)
    groups = {
        row["group"]: row
        for row in named(Answers(output), "forecast").answer(by="value_tier")["groups"]
    }
    assert groups["top"]["clv"] is None
    assert groups["top"]["expected_spend"] is None
    assert groups["top"]["p_churn"] is not None
    assert groups["mid"]["clv"] is not None


def test_results_of_small_arms_and_what_would_reveal_them_are_left_out(
    shop: Shop, tmp_path: Path
) -> None:
    output = publish_crowd(shop.output, tmp_path)
    sizes = {"all": (500, 120), "2021-01": (310, 70), "2021-02": (180, 45), "2021-03": (10, 5)}
    rows = [
        {"campaign_id": "win_back", "by": "all" if name == "all" else "month", "group_name": name,
         "outcome": "response", "n_treatment": treated, "n_control": control, "treatment": 0.31234,
         "control": 0.25678, "difference": 0.05556, "low": -0.01, "high": 0.12, "answer": "unclear",
         "cost_total": 0.01 * treated, "incremental_total": 0.05556 * treated}
        for name, (treated, control) in sizes.items()
    ]  # fmt: skip
    names = CAMPAIGN_EFFECTS.schema.names
    write_results(output, CAMPAIGN_EFFECTS, pd.DataFrame(rows).reindex(columns=names))
    found = named(Answers(output), "campaign_results").answer(campaign="win_back")
    assert [row["group"] for row in found] == ["all", "2021-01"]
    assert found[0]["people_treatment"] == 510
    assert found[0]["treatment"] == 0.31
    # 0.01 times 510, and not times the exact 500; 18 of 70 in control are too few to say.
    assert (found[0]["cost_total"], found[0]["incremental_total"]) == (5.1, 29.0)
    assert (found[1]["treatment"], found[1]["control"]) == (None, None)
    assert found[1]["difference"] == 0.056
    accuracy = pd.DataFrame(
        [{"snapshot_at": pd.Timestamp("2021-01-01"), "run_id": "r", "scorer_version": "1",
          "prediction": "clv", "by": by, "group_name": by, "horizon_days": 45, "customers": n,
          "predicted": 31.234, "actual": 29.5, "low": 25.0, "high": 34.0}
         for by, n in (("all", 500), ("stage", 400), ("all", 20))]
    )  # fmt: skip
    write_results(output, PREDICTION_ACCURACY, accuracy)
    (row,) = named(Answers(output), "prediction_accuracy").answer()
    assert (row["customers"], row["predicted"]) == (510, 31.0)


def test_a_newer_run_is_followed(shop: Shop, tmp_path: Path) -> None:
    output = tmp_path / "copy"
    shutil.copytree(shop.output, output)
    answers = Answers(output)
    before = named(answers, "stage_counts").answer()
    later = publish_crowd(shop.output, tmp_path)
    for name in ("runs", STORE_FILE):
        (output / name).rename(tmp_path / f"{name}-before")
        (later / name).rename(output / name)
    after = named(answers, "stage_counts").answer()
    assert (before["date"], after["date"]) == ("2021-03-01", "2021-03-02")
    trend = named(answers, "stage_trend").answer()
    assert [row["date"] for row in trend] == ["2021-03-02"]


def test_definitions_rules_and_cards_say_what_the_project_says(answers: Answers) -> None:
    rules = named(answers, "stage_rules").answer(stage="lapsed")
    assert [row["rule"] for row in rules["stages"]] == [["days_since_last of purchase > 60"]]
    assert rules["parameters"]["L"] == 60
    meaning = named(answers, "definition").answer(name="retention_rate")
    assert meaning["kind"] == "metric"
    assert "log_loss" in named(answers, "model_card").answer(model="churn")["card"]
    assert named(answers, "overview").answer()["stages"] == [
        "lapsed", "loyalty", "conversion", "retention"
    ]  # fmt: skip
